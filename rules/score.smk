rule score_candidate:
    input:
        weights=RESULTS / "{candidate}/weights.h5",
        dataset=rules.prepare_dataset.output.dataset,
    output:
        validation=RESULTS / "{candidate}/score_validation.json",
        test=RESULTS / "{candidate}/score_test.json",
        predictions=RESULTS / "{candidate}/predictions_test.csv",
    log:
        LOGS / "{candidate}/score_candidate.log",
    benchmark:
        BENCHMARKS / "{candidate}/score_candidate.tsv"
    conda:
        "../envs/shears.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
    params:
        code=code("score_candidate"),
    message:
        "Scoring {wildcards.candidate}"
    script:
        "../scripts/score_candidate.py"
