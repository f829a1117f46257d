rule score_report:
    input:
        unpack(study),
        unpack(latency),
        validation=of_all_candidates("score_validation.json"),
        test=of_all_candidates("score_test.json"),
        metrics=of_all_candidates("metrics.json"),
        histories=of_all_candidates("history.csv"),
        weights=of_all_candidates("weights.h5"),
        predictions=of_all_candidates("predictions_test.csv"),
        dataset=rules.prepare_dataset.output.dataset,
        choice=rules.choose_submission.output.choice,
        manifest=rules.package_submission.output.manifest,
        template=os.path.relpath(ROOT / "report/report.html.j2"),
        parts=[
            os.path.relpath(ROOT / f"shears/reporting/{name}")
            for name in ("page.css", "page.js", "parts.html.j2")
        ],
    output:
        report=report(
            RESULTS / "report.html",
            caption="../report/score_report.rst",
            category="Submission",
        ),
        configuration=RESULTS / "configuration.json",
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
        candidates=PLAN.candidates,
        baselines=BASELINES,
        # Not inputs: job costs are shown if they are known, but are not worth a rerun.
        costs=str(BENCHMARKS),
        command=shlex.join(COMMAND),
        code=code("score_report"),
    message:
        "Writing the report"
    script:
        "../scripts/score_report.py"
