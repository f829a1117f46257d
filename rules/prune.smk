rule prune_round:
    input:
        unpack(round_inputs),
        dataset=rules.prepare_dataset.output.dataset,
    output:
        weights=RESULTS / "{method}/seed_{seed}/round_{round}/weights.h5",
        history=RESULTS / "{method}/seed_{seed}/round_{round}/history.csv",
        metrics=RESULTS / "{method}/seed_{seed}/round_{round}/metrics.json",
    log:
        LOGS / "{method}/seed_{seed}/round_{round}/prune_round.log",
    benchmark:
        BENCHMARKS / "{method}/seed_{seed}/round_{round}/prune_round.tsv"
    conda:
        "../envs/shears.yaml"
    threads: share_of_cores(len(PLAN.methods) * len(CONFIG.seeds))
    resources:
        mem_mb=megabytes_with_logits,
        runtime=training_minutes(round_settings),
        gpu=gpus,
    params:
        settings=round_settings,
        code=code("prune_round"),
        checkpoint=f"{CHECKPOINTS}/{{method}}/seed_{{seed}}/round_{{round}}.npz",
    message:
        "Pruning with {wildcards.method} to a sparsity of "
        "{params.settings[round][sparsity]} in {params.settings[recipe][epochs]} epochs "
        "(seed {wildcards.seed})"
    script:
        "../scripts/prune_round.py"


# Part B's introduction, on the first dense network: readers start from it.
rule run_pruning_notebook:
    input:
        notebook=os.path.relpath(ROOT / "notebooks/pruning_notebook.ipynb"),
        dataset=rules.prepare_dataset.output.dataset,
        weights=RESULTS / PLAN.candidates[0] / "weights.h5",
    output:
        executed=RESULTS / "pruning_notebook.ipynb",
    log:
        LOGS / "run_pruning_notebook.log",
    benchmark:
        BENCHMARKS / "run_pruning_notebook.tsv"
    conda:
        "../envs/shears.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
    params:
        code=code("run_pruning_notebook"),
    message:
        "Running Part B's notebook"
    script:
        "../scripts/run_pruning_notebook.py"
