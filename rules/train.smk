rule train_teacher:
    input:
        dataset=rules.prepare_dataset.output.dataset,
    output:
        teacher=RESULTS / "teacher/teacher.npz",
        history=RESULTS / "teacher/history.csv",
        metrics=RESULTS / "teacher/metrics.json",
    log:
        LOGS / "train_teacher.log",
    benchmark:
        BENCHMARKS / "train_teacher.tsv"
    conda:
        "../envs/shears.yaml"
    threads: share_of_cores(1)
    resources:
        mem_mb=growing(3000),
        runtime=training_minutes(teacher_settings, config["teacher"]["width"]),
        gpu=gpus,
    params:
        settings=teacher_settings,
        code=code("train_teacher"),
        checkpoint=f"{CHECKPOINTS}/teacher.npz",
    message:
        "Training the teacher for {params.settings[recipe][epochs]} epochs"
    script:
        "../scripts/train_teacher.py"


rule ask_teacher:
    input:
        dataset=rules.prepare_dataset.output.dataset,
        teacher=rules.train_teacher.output.teacher,
    output:
        lessons=RESULTS / "teacher/lessons.h5",
    log:
        LOGS / "ask_teacher.log",
    benchmark:
        BENCHMARKS / "ask_teacher.tsv"
    conda:
        "../envs/shears.yaml"
    threads: share_of_cores(1)
    resources:
        mem_mb=growing(3000),
        runtime=asking_minutes(config["teacher"]["width"]),
        gpu=gpus,
    params:
        settings=config["views"],
        code=code("ask_teacher"),
    message:
        "Asking the teacher about {params.settings[count]} views of each image"
    script:
        "../scripts/ask_teacher.py"


rule ask_baseline:
    input:
        dataset=rules.prepare_dataset.output.dataset,
        weights=RESULTS / "{baseline}/seed_{seed}/weights.h5",
    output:
        lessons=RESULTS / "{baseline}/seed_{seed}/lessons.h5",
    log:
        LOGS / "{baseline}/seed_{seed}/ask_baseline.log",
    benchmark:
        BENCHMARKS / "{baseline}/seed_{seed}/ask_baseline.tsv"
    conda:
        "../envs/shears.yaml"
    threads: share_of_cores(len(BASELINES) * len(SEEDS))
    resources:
        mem_mb=growing(3000),
        runtime=asking_minutes(),
        gpu=gpus,
    params:
        settings=config["views"],
        code=code("ask_baseline"),
    message:
        "Asking {wildcards.baseline} about {params.settings[count]} views of each image"
    script:
        "../scripts/ask_baseline.py"


rule train_baseline:
    input:
        unpack(baseline_inputs),
        dataset=rules.prepare_dataset.output.dataset,
    output:
        weights=RESULTS / "{baseline}/seed_{seed}/weights.h5",
        history=RESULTS / "{baseline}/seed_{seed}/history.csv",
        metrics=RESULTS / "{baseline}/seed_{seed}/metrics.json",
    log:
        LOGS / "{baseline}/seed_{seed}/train_baseline.log",
    benchmark:
        BENCHMARKS / "{baseline}/seed_{seed}/train_baseline.tsv"
    conda:
        "../envs/shears.yaml"
    threads: share_of_cores(len(BASELINES) * len(SEEDS))
    resources:
        mem_mb=growing(3000),
        runtime=training_minutes(baseline_settings),
        gpu=gpus,
    params:
        settings=baseline_settings,
        code=code("train_baseline"),
        checkpoint=f"{CHECKPOINTS}/{{baseline}}/seed_{{seed}}.npz",
    message:
        "Training the baseline {wildcards.baseline} for "
        "{params.settings[recipe][epochs]} epochs (seed {wildcards.seed})"
    script:
        "../scripts/train_baseline.py"
