# Part A: each cell of the study is its own job, so that it can be measured again alone.
rule benchmark_optimizer:
    output:
        cell=RESULTS / "optimizers/{data_set}/{optimizer}.{implementation}.json",
    log:
        LOGS / "optimizers/{data_set}.{optimizer}.{implementation}.log",
    benchmark:
        BENCHMARKS / "optimizers/{data_set}.{optimizer}.{implementation}.tsv"
    conda:
        "../envs/shears.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
    params:
        settings=dict(
            updates=CONFIG.optimizers.updates,
            lowest_rate=CONFIG.optimizers.lowest_rate,
            highest_rate=CONFIG.optimizers.highest_rate,
            rates=CONFIG.optimizers.rates,
        ),
        code=code("benchmark_optimizer"),
    message:
        "Measuring {wildcards.optimizer} ({wildcards.implementation}) on "
        "{wildcards.data_set}"
    script:
        "../scripts/benchmark_optimizer.py"


rule plot_optimizers:
    input:
        [
            RESULTS / f"optimizers/{data_set}/{optimizer}.{implementation}.json"
            for data_set, optimizer, implementation in CELLS
        ],
    output:
        table=RESULTS / "optimizers/table.json",
        losses=RESULTS / "optimizers/losses.svg",
        sensitivity=RESULTS / "optimizers/sensitivity.svg",
        paths=RESULTS / "optimizers/paths.svg",
    log:
        LOGS / "plot_optimizers.log",
    benchmark:
        BENCHMARKS / "plot_optimizers.tsv"
    conda:
        "../envs/shears.yaml"
    threads: 1
    params:
        names=CELLS,
        code=code("plot_optimizers"),
    message:
        "Plotting how the optimizers compare"
    script:
        "../scripts/plot_optimizers.py"


# Part A's notebook to hand in: the student's own download, filled, or ours.
if PLAN.notebook:

    rule fill_notebook:
        input:
            notebook=PLAN.notebook,
            # Pasted into it word for word, with what the digest of code leaves out.
            optimizers=os.path.relpath(ROOT / "shears/optimizer_study/optimizers.py"),
            solutions=os.path.relpath(ROOT / "shears/optimizer_study/solutions.py"),
            arguments=os.path.relpath(ROOT / "shears/optimizer_study/arguments.py"),
        output:
            submission=NOTEBOOK,
        log:
            LOGS / "fill_notebook.log",
        benchmark:
            BENCHMARKS / "fill_notebook.tsv"
        conda:
            "../envs/shears.yaml"
        threads: 1
        resources:
            mem_mb=growing(2000),
        params:
            code=code("fill_notebook"),
        message:
            "Filling the course's notebook"
        script:
            "../scripts/fill_notebook.py"

else:

    rule run_notebook:
        input:
            notebook=os.path.relpath(ROOT / "notebooks/assignment_notebook.ipynb"),
            # Pasted into it word for word, with what the digest of code leaves out.
            optimizers=os.path.relpath(ROOT / "shears/optimizer_study/optimizers.py"),
            solutions=os.path.relpath(ROOT / "shears/optimizer_study/solutions.py"),
            arguments=os.path.relpath(ROOT / "shears/optimizer_study/arguments.py"),
        output:
            submission=NOTEBOOK,
        log:
            LOGS / "run_notebook.log",
        benchmark:
            BENCHMARKS / "run_notebook.tsv"
        conda:
            "../envs/shears.yaml"
        threads: 1
        params:
            code=code("run_notebook"),
        message:
            "Running Part A's notebook"
        script:
            "../scripts/run_notebook.py"
