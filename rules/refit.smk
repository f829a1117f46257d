# refit: true. The chosen candidate's chain once more, on all images: the same scripts and
# settings, below results/refit. Nothing here is needed without a choice, and nothing that
# is made here can change it. There are no validation images: those are trained on.
use rule prepare_dataset as refit_dataset with:
    output:
        dataset=REFIT / "dataset.h5",
    log:
        LOGS / "refit/prepare_dataset.log",
    benchmark:
        BENCHMARKS / "refit/refit_dataset.tsv"
    params:
        settings=dict(
            name=CONFIG.data.name,
            validation_images=CONFIG.data.validation_images,
            training_images=CONFIG.data.training_images,
            seed=CONFIG.data.seed,
            all_images=True,
        ),
    message:
        "Preparing all images for the refit"


use rule train_teacher as refit_teacher with:
    input:
        dataset=REFIT / "dataset.h5",
    output:
        teacher=REFIT / "teacher/seed_{teacher_seed}/teacher.npz",
        history=REFIT / "teacher/seed_{teacher_seed}/history.csv",
        metrics=REFIT / "teacher/seed_{teacher_seed}/metrics.json",
    log:
        LOGS / "refit/teacher/seed_{teacher_seed}/train_teacher.log",
    benchmark:
        BENCHMARKS / "refit/teacher/seed_{teacher_seed}/refit_teacher.tsv"
    params:
        checkpoint=f"{CHECKPOINTS}/refit/teacher/seed_{{teacher_seed}}.npz",
    message:
        "Refitting the teacher on all images for {params.settings[recipe][epochs]} "
        "epochs (seed {wildcards.teacher_seed})"


use rule save_teacher_logits as refit_teacher_logits with:
    input:
        dataset=REFIT / "dataset.h5",
        teachers=expand(
            rules.refit_teacher.output.teacher, teacher_seed=CONFIG.teacher.seeds
        ),
    output:
        teacher_logits=REFIT / "teacher/teacher_logits_{part}.h5",
    log:
        LOGS / "refit/teacher/part_{part}/save_teacher_logits.log",
    benchmark:
        BENCHMARKS / "refit/teacher/part_{part}/refit_teacher_logits.tsv"


use rule save_baseline_logits as refit_baseline_logits with:
    input:
        dataset=REFIT / "dataset.h5",
        weights=refit_baseline_weights,
    output:
        teacher_logits=REFIT / "{baseline}/seed_{seed}/teacher_logits_{part}.h5",
    log:
        LOGS / "refit/{baseline}/seed_{seed}/part_{part}/save_baseline_logits.log",
    benchmark:
        BENCHMARKS
        / "refit/{baseline}/seed_{seed}/part_{part}/refit_baseline_logits.tsv"
    threads: share_of_cores(1)


use rule train_baseline as refit_baseline with:
    input:
        unpack(refit_baseline_inputs),
        dataset=REFIT / "dataset.h5",
    output:
        weights=REFIT / "{baseline}/seed_{seed}/weights.h5",
        history=REFIT / "{baseline}/seed_{seed}/history.csv",
        metrics=REFIT / "{baseline}/seed_{seed}/metrics.json",
    log:
        LOGS / "refit/{baseline}/seed_{seed}/train_baseline.log",
    benchmark:
        BENCHMARKS / "refit/{baseline}/seed_{seed}/refit_baseline.tsv"
    threads: share_of_cores(1)
    params:
        checkpoint=f"{CHECKPOINTS}/refit/{{baseline}}/seed_{{seed}}.npz",
    message:
        "Refitting the baseline {wildcards.baseline} on all images for "
        "{params.settings[recipe][epochs]} epochs (seed {wildcards.seed})"


use rule prune_round as refit_round with:
    input:
        unpack(refit_round_inputs),
        dataset=REFIT / "dataset.h5",
    output:
        weights=REFIT / "{method}/seed_{seed}/round_{round}/weights.h5",
        history=REFIT / "{method}/seed_{seed}/round_{round}/history.csv",
        metrics=REFIT / "{method}/seed_{seed}/round_{round}/metrics.json",
    log:
        LOGS / "refit/{method}/seed_{seed}/round_{round}/prune_round.log",
    benchmark:
        BENCHMARKS / "refit/{method}/seed_{seed}/round_{round}/refit_round.tsv"
    threads: share_of_cores(1)
    params:
        checkpoint=f"{CHECKPOINTS}/refit/{{method}}/seed_{{seed}}/round_{{round}}.npz",
    message:
        "Refitting {wildcards.method} on all images to a sparsity of "
        "{params.settings[round][sparsity]} in {params.settings[recipe][epochs]} epochs "
        "(seed {wildcards.seed})"


use rule score_candidate as refit_score with:
    input:
        weights=REFIT / "{candidate}/weights.h5",
        dataset=rules.prepare_dataset.output.dataset,
    output:
        test=REFIT / "{candidate}/score_test.json",
        predictions=REFIT / "{candidate}/predictions_test.csv",
    log:
        LOGS / "refit/{candidate}/score_candidate.log",
    benchmark:
        BENCHMARKS / "refit/{candidate}/refit_score.tsv"
    message:
        "Scoring the refit of {wildcards.candidate} on the test images"
