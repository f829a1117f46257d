# With all threads, so that nothing else runs meanwhile.
rule measure_latency:
    input:
        weights=of_all_candidates("weights.h5"),
        choice=rules.choose_submission.output.choice,
        dataset=rules.prepare_dataset.output.dataset,
        templates=C_TEMPLATES,
    output:
        latency=RESULTS / "latency.json",
    log:
        LOGS / "measure_latency.log",
    benchmark:
        BENCHMARKS / "measure_latency.tsv"
    conda:
        "../envs/shears.yaml"
    threads: workflow.resource_settings.cores or 1
    resources:
        mem_mb=growing(4000),
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        candidates=PLAN.candidates,
        baselines=BASELINES,
        runs=CONFIG.latency.runs,
        code=code("measure_latency"),
    message:
        "Measuring the latency of all candidates"
    script:
        "../scripts/measure_latency.py"
