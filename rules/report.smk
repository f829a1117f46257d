rule score_report:
    input:
        unpack(study),
        validation=of_all_candidates("score_validation.json"),
        test=of_all_candidates("score_test.json"),
        metrics=of_all_candidates("metrics.json"),
        histories=of_all_candidates("history.csv"),
        weights=of_all_candidates("weights.h5"),
        answers=of_all_candidates("answers_test.csv"),
        dataset=rules.prepare_dataset.output.dataset,
        choice=rules.choose_submission.output.choice,
        manifest=rules.package_submission.output.manifest,
        template=os.path.relpath(ROOT / "report/report.html.j2"),
    output:
        report=report(
            RESULTS / "report.html",
            caption="../report/score_report.rst",
            category="Submission",
        ),
        figures=report(
            directory(RESULTS / "figures"),
            patterns=["{name}.png"],
            caption="../report/figures.rst",
            category="Figures",
        ),
    log:
        LOGS / "score_report.log",
    benchmark:
        BENCHMARKS / "score_report.tsv"
    conda:
        "../envs/shears.yaml"
    params:
        candidates=CANDIDATES,
        baselines={
            f"{name}/seed_{seed}": f"{method['baseline']}/seed_{seed}"
            for name, method in METHODS.items()
            for seed in SEEDS
        },
        # Not inputs: what a stage cost is told if it is known, and worth no rerun.
        costs=str(BENCHMARKS),
        command=shlex.join(COMMAND),
        code=code("score_report"),
    message:
        "Writing the report"
    script:
        "../scripts/score_report.py"
