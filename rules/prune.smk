rule prune_round:
    input:
        dataset=rules.prepare_dataset.output.dataset,
        previous=previous_weights,
        code=code("prune_round"),
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
        sparsity=lambda wildcards: this_round(wildcards)["sparsity"],
        recipe=lambda wildcards: recipe(
            config["pruning"]["recipe"], epochs=this_round(wildcards)["epochs"]
        ),
        allocation=config["pruning"]["allocation"],
        ramp=config["pruning"]["ramp"],
        mask_updates=config["pruning"]["mask_updates"],
        precision=config["precision"],
        # Rounds do not see the images in the same order.
        seed=lambda wildcards: config["seed"] * 1000 + int(wildcards.round),
    message:
        "Pruning to a sparsity of {params.sparsity} in {params.recipe[epochs]} epochs"
    script:
        "../scripts/prune_round.py"
