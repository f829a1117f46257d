rule prune_round:
    input:
        dataset=rules.prepare_dataset.output.dataset,
        previous=previous_weights,
    output:
        weights=RESULTS / "round_{round}/weights.h5",
        history=RESULTS / "round_{round}/history.csv",
        metrics=RESULTS / "round_{round}/metrics.json",
    log:
        LOGS / "prune_round_{round}.log",
    benchmark:
        BENCHMARKS / "prune_round_{round}.tsv"
    conda:
        "../envs/shears.yaml"
    threads: 16
    resources:
        mem_mb=4000,
    params:
        settings=round_settings,
        code=code("prune_round"),
        checkpoint=f"{CHECKPOINTS}/round_{{round}}.npz",
    message:
        "Pruning to a sparsity of {params.settings[sparsity]} in "
        "{params.settings[recipe][epochs]} epochs"
    script:
        "../scripts/prune_round.py"
