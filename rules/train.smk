rule train_teacher:
    input:
        dataset=rules.prepare_dataset.output.dataset,
    output:
        teacher=RESULTS / "teacher/seed_{teacher_seed}/teacher.npz",
        history=RESULTS / "teacher/seed_{teacher_seed}/history.csv",
        metrics=RESULTS / "teacher/seed_{teacher_seed}/metrics.json",
    log:
        LOGS / "teacher/seed_{teacher_seed}/train_teacher.log",
    benchmark:
        BENCHMARKS / "teacher/seed_{teacher_seed}/train_teacher.tsv"
    conda:
        "../envs/shears.yaml"
    threads: share_of_cores(CONFIG.teacher.count)
    resources:
        mem_mb=growing(3000),
        runtime=training_minutes(teacher_settings, CONFIG.teacher.width),
        gpu=gpus,
    params:
        settings=teacher_settings,
        code=code("train_teacher"),
        checkpoint=f"{CHECKPOINTS}/teacher/seed_{{teacher_seed}}.npz",
    message:
        "Training the teacher for {params.settings[recipe][epochs]} epochs "
        "(seed {wildcards.teacher_seed})"
    script:
        "../scripts/train_teacher.py"


rule save_teacher_logits:
    input:
        dataset=rules.prepare_dataset.output.dataset,
        teachers=expand(
            rules.train_teacher.output.teacher, teacher_seed=CONFIG.teacher.seeds
        ),
    output:
        teacher_logits=RESULTS / "teacher/teacher_logits_{part}.h5",
    log:
        LOGS / "teacher/part_{part}/save_teacher_logits.log",
    benchmark:
        BENCHMARKS / "teacher/part_{part}/save_teacher_logits.tsv"
    conda:
        "../envs/shears.yaml"
    threads: share_of_cores(1)
    resources:
        mem_mb=growing(3000),
        runtime=logits_minutes(CONFIG.teacher.width, CONFIG.teacher.count),
        gpu=gpus,
    params:
        settings=view_settings,
        code=code("save_teacher_logits"),
    message:
        "Saving the teacher's logits for views of each image, part {wildcards.part}"
    script:
        "../scripts/save_teacher_logits.py"


rule save_baseline_logits:
    input:
        dataset=rules.prepare_dataset.output.dataset,
        weights=RESULTS / "{baseline}/seed_{seed}/weights.h5",
    output:
        teacher_logits=RESULTS / "{baseline}/seed_{seed}/teacher_logits_{part}.h5",
    log:
        LOGS / "{baseline}/seed_{seed}/part_{part}/save_baseline_logits.log",
    benchmark:
        BENCHMARKS / "{baseline}/seed_{seed}/part_{part}/save_baseline_logits.tsv"
    conda:
        "../envs/shears.yaml"
    threads: share_of_cores(len(PLAN.baselines) * len(CONFIG.seeds))
    resources:
        mem_mb=growing(3000),
        runtime=logits_minutes(),
        gpu=gpus,
    params:
        settings=view_settings,
        code=code("save_baseline_logits"),
    message:
        "Saving the logits of {wildcards.baseline}, part {wildcards.part} "
        "(seed {wildcards.seed})"
    script:
        "../scripts/save_baseline_logits.py"


rule import_baseline:
    input:
        source=imported_file,
        dataset=rules.prepare_dataset.output.dataset,
    output:
        weights=RESULTS / "{baseline}/seed_{seed}/weights.h5",
        history=RESULTS / "{baseline}/seed_{seed}/history.csv",
        metrics=RESULTS / "{baseline}/seed_{seed}/metrics.json",
    log:
        LOGS / "{baseline}/seed_{seed}/import_baseline.log",
    benchmark:
        BENCHMARKS / "{baseline}/seed_{seed}/import_baseline.tsv"
    wildcard_constraints:
        baseline=one_of(PLAN.imported),
    conda:
        "../envs/shears.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
    params:
        code=code("import_baseline"),
    message:
        "Importing the baseline {wildcards.baseline} from {input.source} (seed {wildcards.seed})"
    script:
        "../scripts/import_baseline.py"


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
    wildcard_constraints:
        baseline=one_of(set(PLAN.baselines) - set(PLAN.imported)),
    conda:
        "../envs/shears.yaml"
    threads: share_of_cores(len(PLAN.baselines) * len(CONFIG.seeds))
    resources:
        mem_mb=megabytes_with_logits,
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
