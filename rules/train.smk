rule train_baseline:
    input:
        dataset=rules.prepare_dataset.output.dataset,
    output:
        weights=RESULTS / "baseline/weights.h5",
        history=RESULTS / "baseline/history.csv",
        metrics=RESULTS / "baseline/metrics.json",
    log:
        LOGS / "train_baseline.log",
    benchmark:
        BENCHMARKS / "train_baseline.tsv"
    conda:
        "../envs/shears.yaml"
    threads: 16
    resources:
        mem_mb=4000,
    params:
        settings=dict(
            recipe=recipe(config["baseline"]["recipe"]),
            precision=config["precision"],
            seed=config["seed"],
        ),
        code=code("train_baseline"),
        checkpoint=f"{CHECKPOINTS}/baseline.npz",
    message:
        "Training the baseline for {params.settings[recipe][epochs]} epochs"
    script:
        "../scripts/train_baseline.py"
