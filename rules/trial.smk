# Not part of `rule all`. A trial needs no submission, latency, Part A or report:
#   snakemake --cores all --configfile config/trials/end_step.yaml trial
rule trial:
    input:
        networks=compared_networks,
        dataset=rules.prepare_dataset.output.dataset,
    output:
        verdict=RESULTS / "trial.csv",
    log:
        LOGS / "trial.log",
    benchmark:
        BENCHMARKS / "trial.tsv"
    conda:
        "../envs/shears.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
    params:
        methods=PLAN.compared,
        code=code("trial"),
    message:
        "Comparing {params.methods} on the validation images"
    script:
        "../scripts/trial.py"
