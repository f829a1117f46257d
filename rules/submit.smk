checkpoint choose_submission:
    input:
        # Validation results only; the test set is not used.
        scores=of_all_candidates("score_validation.json"),
    output:
        choice=RESULTS / "choice.json",
    log:
        LOGS / "choose_submission.log",
    benchmark:
        BENCHMARKS / "choose_submission.tsv"
    conda:
        "../envs/shears.yaml"
    params:
        candidates=PLAN.candidates,
        selection=CONFIG.selection.model_dump(mode="json"),
        code=code("choose_submission"),
    message:
        "Choosing the submission by validation results"
    script:
        "../scripts/choose_submission.py"


rule package_submission:
    input:
        unpack(refitted),
        choice=rules.choose_submission.output.choice,
        weights=of_all_candidates("weights.h5"),
        scores=of_all_candidates("score_test.json"),
    output:
        submission=RESULTS / "submission/my_model_weights.h5",
        manifest=RESULTS / "submission/manifest.json",
    log:
        LOGS / "package_submission.log",
    benchmark:
        BENCHMARKS / "package_submission.tsv"
    conda:
        "../envs/shears.yaml"
    params:
        candidates=PLAN.candidates,
        all_images=PLAN.all_images if CONFIG.refit else 0,
        code=code("package_submission"),
    message:
        "Packaging the submission"
    script:
        "../scripts/package_submission.py"


rule pack_submission:
    input:
        manifest=rules.package_submission.output.manifest,
        files=[rules.package_submission.output.submission] + NOTEBOOKS,
    output:
        archive=report(
            RESULTS / "submission.zip",
            caption="../report/submission.rst",
            category="Submission",
        ),
    log:
        LOGS / "pack_submission.log",
    benchmark:
        BENCHMARKS / "pack_submission.tsv"
    conda:
        "../envs/shears.yaml"
    params:
        filled=bool(PLAN.notebook),
        code=code("pack_submission"),
    message:
        "Packing the submission"
    script:
        "../scripts/pack_submission.py"
