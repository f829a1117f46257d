rule score_candidate:
    input:
        weights=RESULTS / "{candidate}/weights.h5",
        dataset=rules.prepare_dataset.output.dataset,
    output:
        validation=RESULTS / "{candidate}/score_validation.json",
        test=RESULTS / "{candidate}/score_test.json",
    log:
        LOGS / "score_{candidate}.log",
    benchmark:
        BENCHMARKS / "score_{candidate}.tsv"
    conda:
        "../envs/shears.yaml"
    threads: 2
    resources:
        mem_mb=2000,
    params:
        code=code("score_candidate"),
    message:
        "Scoring {wildcards.candidate}"
    script:
        "../scripts/score_candidate.py"
