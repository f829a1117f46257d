# Not part of `rule all`. What is known about files, the pseudonyms' key and the last board
# lie beside the outputs; they are none, so they survive a failed or killed job.
rule leaderboard:
    input:
        dataset=rules.prepare_dataset.output.dataset,
        template=os.path.relpath(ROOT / "shears/classroom/leaderboard.html.j2"),
        style=os.path.relpath(ROOT / "shears/reporting/page.css"),
    output:
        page=RESULTS / "leaderboard/leaderboard.html",
        table=RESULTS / "leaderboard/leaderboard.csv",
        board=RESULTS / "leaderboard/leaderboard.json",
    log:
        LOGS / "leaderboard.log",
    benchmark:
        BENCHMARKS / "leaderboard.tsv"
    conda:
        "../envs/shears.yaml"
    threads: 2
    resources:
        mem_mb=growing(3000),
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        submissions=CONFIG.submissions,
        anonymous=CONFIG.anonymous,
        listing=class_listing,
        code=code("leaderboard"),
    message:
        "Scoring the class in {params.submissions}"
    script:
        "../scripts/leaderboard.py"
