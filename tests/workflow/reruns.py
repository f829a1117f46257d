"""Which edit reruns which rules: the table in docs/reliability.md, and its test."""

from collections.abc import Mapping

from shears.config import parse_configuration
from shears.pruning.masks import MaskSettings
from shears.training.recipe import Recipe
from tests.workflow.edits import (
    Edit,
    code,
    imported,
    other_pruning,
    other_values,
    own_notebook,
    remarks,
    reordered,
    reworded,
    rounds,
    settings,
    text,
    touch,
)
from tests.workflow.project import small_configuration

# Jobs of the finished small workflow: a teacher, a baseline, two rounds and one data
# set's cells.
REPORT = {"score_report": 1}
PACK = {"pack_submission": 1}
PACKAGE = {"package_submission": 1, **PACK, **REPORT}
LATENCY = {"measure_latency": 1, **REPORT}
CHOICE = {"choose_submission": 1, **LATENCY, **PACKAGE}
LAST_ROUND = {"prune_round": 1, "score_candidate": 1, **CHOICE}
SCORES = {"score_candidate": 3, **CHOICE}
ROUNDS = {"prune_round": 2, "score_candidate": 2, **CHOICE}
# The scores hold the multiply-adds that removing dead units leaves.
ROUNDS_AND_SCORES = {**ROUNDS, **SCORES}
NEW_SEED = {"train_baseline": 1, "prune_round": 2, "score_candidate": 3, **CHOICE}
PART_B = {"run_pruning_notebook": 1}
BASELINE = {**NEW_SEED, **PART_B}
IMPORT = {
    "import_baseline": 1,
    "prune_round": 2,
    "score_candidate": 3,
    **CHOICE,
    **PART_B,
}
LOGITS = {"save_teacher_logits": 1, **BASELINE}
TRAINING = {"train_teacher": 1, **LOGITS}
DATA = {"prepare_dataset": 1, **TRAINING}
PLOTS = {"plot_optimizers": 1, **REPORT}
CELLS = {"benchmark_optimizer": 8, **PLOTS}
NOTEBOOK = {"run_notebook": 1, **PACK}
FILL = {"fill_notebook": 1, **PACK}
PART_A = {**CELLS, **NOTEBOOK}
NOTEBOOKS = {**NOTEBOOK, **PART_B}
EVERYTHING = {**DATA, **PART_A}
OWN = {"save_baseline_logits": 1, **ROUNDS}
REFIT = {
    "refit_dataset": 1,
    "refit_teacher": 1,
    "refit_teacher_logits": 1,
    "refit_baseline": 1,
    "refit_round": 2,
    "refit_score": 1,
    **PACKAGE,
}
NOTHING: dict[str, int] = {}

WORDS = (
    (EVERYTHING, "everything"),
    (DATA, "data set, teacher, baseline, rounds and what follows"),
    (
        {**TRAINING, **CELLS},
        "teacher, baseline, rounds, optimizers' cells and what follows",
    ),
    (TRAINING, "teacher, baseline, rounds and what follows"),
    (LOGITS, "the teacher's logits, baseline, rounds and what follows"),
    (BASELINE, "baseline, rounds and what follows"),
    (IMPORT, "the import, rounds and what follows"),
    (NEW_SEED, "the second seed's baseline, rounds and what follows"),
    (OWN, "the baseline's logits, rounds and what follows"),
    (ROUNDS, "rounds and what follows"),
    (ROUNDS_AND_SCORES, "rounds, all scores and what follows"),
    (LAST_ROUND, "the last round and what follows"),
    (SCORES, "scores, choice, latency, submission, report"),
    (CHOICE, "choice, latency, submission, report"),
    (LATENCY, "latency, report"),
    (PACKAGE, "submission, report"),
    (REFIT, "the chain of the chosen network, on all images, submission, report"),
    ({**PACK, **REPORT}, "the submission's archive, report"),
    (REPORT, "report"),
    (PACK, "the submission's archive"),
    (
        PART_A,
        "optimizers' cells, their plots, report, Part A's notebook, the submission's "
        "archive",
    ),
    (CELLS, "optimizers' cells, their plots, report"),
    (PLOTS, "the optimizers' plots, report"),
    (NOTEBOOKS, "both notebooks, the submission's archive"),
    (NOTEBOOK, "Part A's notebook, the submission's archive"),
    (PART_B, "Part B's notebook"),
    (FILL, "the filled notebook, the submission's archive"),
    (NOTHING, "nothing"),
)

SMALL = parse_configuration(small_configuration())
RECIPE = other_values(Recipe, SMALL.recipes["strong"])
METHOD = {
    **other_values(MaskSettings, SMALL.pruning),
    "baseline": "plain",
    "recipe": "assignment",
    "teacher": "none",
    "mask_of": "lamp",
}
METHOD_JOBS = {"baseline": BASELINE}
STUDY = {"updates": 3000, "lowest_rate": 0.001, "highest_rate": 10, "rates": 6}
KEYS = [
    Edit("`directory`", settings(directory="other"), EVERYTHING),
    Edit("`seeds`: another", settings(seeds=[1]), BASELINE),
    Edit("`seeds`: a second", settings(seeds=[0, 1]), NEW_SEED),
    Edit("`precision`", settings(precision="float32"), TRAINING),
    Edit("`gpus`", settings(gpus=1), NOTHING),
    Edit("`budget`: one that is large enough", settings(budget="9h"), NOTHING),
    Edit("`tensorboard`", settings(tensorboard=True), NOTHING),
    Edit("`notebook`", own_notebook, FILL),
    Edit("`submissions`", settings(submissions="class"), NOTHING),
    Edit("`anonymous`", settings(anonymous=True), NOTHING),
    Edit(
        "`data: name`",
        settings(data={"name": "cifar10"}),
        {"download_cifar10": 1, **DATA},
    ),
    Edit(
        "`data: validation_images`",
        settings(data={"validation_images": 200}),
        DATA,
    ),
    Edit("`data: training_images`", settings(data={"training_images": 500}), DATA),
    Edit("`data: seed`", settings(data={"seed": 1}), DATA),
    Edit("`data: urls`", settings(data={"urls": ["http://a/b"]}), NOTHING),
    Edit("`data: sha256`", settings(data={"sha256": "0" * 64}), NOTHING),
    *[
        Edit(
            f"the baseline's recipe: `{key}`",
            settings(recipes={"strong": {key: value}}),
            BASELINE,
        )
        for key, value in RECIPE.items()
    ],
    Edit(
        "the baseline's recipe: `extends`, if it sets all keys itself",
        settings(recipes={"strong": {"extends": "assignment"}}),
        NOTHING,
    ),
    Edit(
        "the rounds' recipe: `extends`",
        settings(
            recipes={
                "smooth": {"learning_rate": 0.1, "label_smoothing": 0.1},
                "finetune": {"extends": "smooth"},
            }
        ),
        ROUNDS,
    ),
    Edit(
        "the rounds' recipe: `epochs` (each round has its own)",
        settings(recipes={"finetune": {"epochs": 5}}),
        NOTHING,
    ),
    *[
        Edit(
            f"the rounds' recipe: `{key}`",
            settings(recipes={"finetune": {key: value}}),
            ROUNDS,
        )
        for key, value in RECIPE.items()
        if key != "epochs"
    ],
    Edit(
        "a recipe that is not used",
        settings(recipes={"assignment": {"epochs": 5}}),
        NOTHING,
    ),
    *[
        Edit(
            f"the teacher's recipe: `{key}`",
            settings(recipes={"teacher": {key: RECIPE[key]}}),
            TRAINING,
        )
        for key in ("epochs", "learning_rate")
    ],
    Edit("`teacher: recipe`", settings(teacher={"recipe": "assignment"}), TRAINING),
    Edit("`teacher: width`", settings(teacher={"width": 0.25}), TRAINING),
    Edit("`teacher: seed`", settings(teacher={"seed": 1}), TRAINING),
    Edit("`teacher: count`", settings(teacher={"count": 2}), TRAINING),
    *[
        Edit(f"`views: {key}`", settings(views={key: value}), LOGITS)
        for key, value in (
            ("count", 3),
            ("crop", 1),
            ("flip", True),
            ("mixed", 0.5),
            ("seed", 1),
        )
    ],
    Edit(
        "`baselines: dense: recipe`",
        settings(baselines={"dense": {"recipe": "assignment"}}),
        BASELINE,
    ),
    Edit(
        "`baselines: dense: teacher`",
        settings(baselines={"dense": {"teacher": "none"}}),
        BASELINE,
    ),
    Edit("`baselines: dense: weights`, in place of the others", imported, IMPORT),
    Edit("`baselines`: one that is not used", settings(baselines={"a": {}}), NOTHING),
    *[
        Edit(
            f"`pruning: {key}`",
            other_pruning(key, value),
            METHOD_JOBS.get(key, ROUNDS),
        )
        for key, value in METHOD.items()
    ],
    Edit("`pruning: teacher`: own", settings(pruning={"teacher": "own"}), OWN),
    Edit(
        "`methods`: the keys of a method that is run",
        settings(methods={"lamp": {"end_step": 0.1}}),
        ROUNDS,
    ),
    Edit(
        "`methods`: one that is not run",
        settings(methods={"erk": {"end_step": 0.1}}),
        NOTHING,
    ),
    Edit("`run`: a second method", settings(run=["lamp", "global"]), ROUNDS),
    Edit("`latency: runs`", settings(latency={"runs": 2}), LATENCY),
    Edit("`latency: runs`: 0", settings(latency={"runs": 0}), REPORT),
    Edit("`run`: emptied", settings(run=[]), CHOICE),
    Edit(
        "`with_recipes`: a recipe added",
        settings(with_recipes=["finetune"]),
        ROUNDS,
    ),
    Edit(
        "`pruning: rounds`: the first round's sparsity",
        rounds((0.7, 1), (0.9, 1)),
        ROUNDS,
    ),
    Edit(
        "`pruning: rounds`: the last's sparsity",
        rounds((0.8, 1), (0.91, 1)),
        LAST_ROUND,
    ),
    Edit(
        "`pruning: rounds`: the last's epochs", rounds((0.8, 1), (0.9, 2)), LAST_ROUND
    ),
    Edit(
        "`pruning: rounds`: a new one at the end",
        rounds((0.8, 1), (0.9, 1), (0.95, 1)),
        LAST_ROUND,
    ),
    Edit("`pruning: rounds`: the last one removed", rounds((0.8, 1)), CHOICE),
    Edit("`refit`: true", settings(refit=True), REFIT),
    *[
        Edit(f"`selection: {key}`", settings(selection={key: value}), CHOICE)
        for key, value in (
            ("margin", 2),
            ("objective", "multiply_adds"),
            ("accuracy", 0.7),
        )
    ],
    Edit(
        "`optimizers: data_sets`: a new one",
        settings(optimizers={"data_sets": ["diabetes", "sparse"]}),
        CELLS,
    ),
    Edit(
        "`optimizers: data_sets`: none left",
        settings(optimizers={"data_sets": []}),
        {**PACK, **REPORT},
    ),
    *[
        Edit(f"`optimizers: {key}`", settings(optimizers={key: value}), CELLS)
        for key, value in STUDY.items()
    ],
    Edit("the keys' order, a comment", reordered, NOTHING),
]
MODULES = {
    "__init__": EVERYTHING,
    "__main__": NOTHING,
    # Nothing of the class is part of a run without a class.
    "autograder_cli": NOTHING,
    "budget": NOTHING,
    "classroom/__init__": NOTHING,
    "classroom/autograder": NOTHING,
    "classroom/board": NOTHING,
    "classroom/fetch_images": NOTHING,
    "classroom/gradescope": NOTHING,
    "classroom/gradescope_results": NOTHING,
    "classroom/leaderboard": NOTHING,
    "classroom/page": NOTHING,
    "classroom/part_a": NOTHING,
    "classroom/part_b": NOTHING,
    "classroom/pseudonyms": NOTHING,
    "classroom/run_autograder": NOTHING,
    "classroom/scoring": NOTHING,
    "classroom/submissions": NOTHING,
    "classroom/submitted_file": NOTHING,
    "classroom/tables": NOTHING,
    "classroom/uploads": NOTHING,
    "classroom_cli": NOTHING,
    "cli": NOTHING,
    "config": NOTHING,
    "data/__init__": DATA,
    "data/archives": DATA,
    "data/augmentation": TRAINING,
    "data/batch_pickle": DATA,
    "data/cifar10": DATA,
    "data/dataset": DATA,
    "data/digits": DATA,
    "data/download": NOTHING,
    "data/packed_images": NOTHING,
    "data/servers": NOTHING,
    "data/splits": DATA,
    "data/views": TRAINING,
    "evaluation/__init__": SCORES,
    "evaluation/analysis": REPORT,
    "evaluation/grading": SCORES,
    "evaluation/score": SCORES,
    "evaluation/paired": NOTHING,
    "evaluation/screening": NOTHING,
    "evaluation/selection": CHOICE,
    "forecast": NOTHING,
    "given_files": NOTHING,
    "inference/__init__": SCORES,
    "inference/c_code": LATENCY,
    "inference/checked_export": NOTHING,
    "inference/compact_network": SCORES,
    "inference/compaction": SCORES,
    "inference/comparison": LATENCY,
    "inference/compiled": LATENCY,
    "inference/export": LATENCY,
    "inference/latency": LATENCY,
    "inference/peak": LATENCY,
    "inference/runtimes": LATENCY,
    "inference/settings": NOTHING,
    "inference_cli": NOTHING,
    "methods": NOTHING,
    "model/__init__": TRAINING,
    "model/architecture": TRAINING,
    "model/batch_norm": TRAINING,
    "model/forward": TRAINING,
    "model/input_normalisation": TRAINING,
    "model/numpy_forward": NOTHING,
    "model/parameters": TRAINING,
    "model/teacher": TRAINING,
    "notebook_cli": NOTHING,
    "notebooks/__init__": NOTEBOOKS,
    "notebooks/confinement": NOTHING,
    "notebooks/document": NOTEBOOKS,
    "notebooks/execution": NOTEBOOKS,
    "notebooks/limits": NOTEBOOKS,
    "notebooks/files": NOTEBOOKS,
    "notebooks/source": NOTEBOOKS,
    "optimizer_study/__init__": PART_A,
    "optimizer_study/arguments": PART_A,
    "optimizer_study/check": NOTHING,
    "optimizer_study/course_notebook": NOTEBOOK,
    "optimizer_study/fill": NOTEBOOK,
    "optimizer_study/grading": NOTHING,
    "optimizer_study/old_versions": NOTHING,
    "optimizer_study/optimizers": PART_A,
    "optimizer_study/plots": PLOTS,
    "optimizer_study/recomputation": NOTHING,
    "optimizer_study/regression": CELLS,
    "optimizer_study/solutions": NOTEBOOK,
    "optimizer_study/study": CELLS,
    "plan": NOTHING,
    "plan_checks": NOTHING,
    "pruning/__init__": TRAINING,
    "pruning/allocation": ROUNDS,
    "pruning/contradictions": NOTHING,
    "pruning/dead_units": ROUNDS_AND_SCORES,
    "pruning/folded_masks": TRAINING,
    "pruning/live_units": ROUNDS,
    "pruning/mask_plan": TRAINING,
    "pruning/masks": ROUNDS,
    "pruning/rounds": ROUNDS,
    "pruning/saliency": ROUNDS,
    "pruning/schedule": ROUNDS,
    "pruning/units": ROUNDS,
    "reporting/__init__": PACKAGE,
    "reporting/candidates": REPORT,
    "reporting/charts": REPORT,
    "reporting/comparison": NOTHING,
    "reporting/differences": NOTHING,
    "reporting/latency": REPORT,
    "reporting/live": NOTHING,
    "reporting/network_charts": REPORT,
    "reporting/network_picture": REPORT,
    "reporting/page": REPORT,
    "reporting/report": REPORT,
    "reporting/runs": NOTHING,
    "reporting/server": NOTHING,
    "reporting/stages": REPORT,
    "reporting/submission": PACKAGE,
    "report_cli": NOTHING,
    "runtime/__init__": EVERYTHING,
    "runtime/backend": {**TRAINING, **CELLS},
    "runtime/code_digest": NOTHING,
    "runtime/device": {**TRAINING, **CELLS},
    "runtime/errors": NOTHING,
    "runtime/files": EVERYTHING,
    "runtime/hdf5": DATA,
    "runtime/job_log": NOTHING,
    "runtime/job_record": NOTHING,
    "runtime/kernel_walls": BASELINE,
    "runtime/lock": NOTHING,
    "runtime/packages": NOTHING,
    "runtime/paths": NOTHING,
    "runtime/machine": {**TRAINING, **CELLS},
    "runtime/output": NOTHING,
    "runtime/settings": TRAINING,
    "runtime/settings_errors": NOTHING,
    "runtime/slurm": NOTHING,
    "runtime/walls": BASELINE,
    "runtime/yaml_files": NOTHING,
    "training/__init__": TRAINING,
    "training/checkpoint": TRAINING,
    "training/history": TRAINING,
    "training/learning_rate": TRAINING,
    "training/loop": TRAINING,
    "training/losses": TRAINING,
    "training/outputs": BASELINE,
    "training/recipe": TRAINING,
    "training/run_context": TRAINING,
    "training/speed": NOTHING,
    "training/step_time": NOTHING,
    "training/soft_targets": TRAINING,
    "training/trainer": TRAINING,
    "version": NOTHING,
    "weight_files/__init__": BASELINE,
    "weight_files/canonical": BASELINE,
    "weight_files/keras_archive": BASELINE,
    "weight_files/layouts": BASELINE,
    "weight_files/load_model": BASELINE,
    "weight_files/untrusted_hdf5": BASELINE,
    "weight_files/model_config": BASELINE,
    "weight_files/raw_data": BASELINE,
    "weight_files/reader": BASELINE,
}
SCRIPTS = {
    "benchmark_optimizer": CELLS,
    "choose_submission": CHOICE,
    "download_cifar10": NOTHING,
    "fill_notebook": NOTHING,
    "import_baseline": NOTHING,
    "leaderboard": NOTHING,
    "measure_latency": LATENCY,
    "pack_submission": PACK,
    "package_submission": PACKAGE,
    "plot_optimizers": PLOTS,
    "prepare_dataset": DATA,
    "prune_round": ROUNDS,
    "run_notebook": NOTEBOOK,
    "run_pruning_notebook": PART_B,
    "save_baseline_logits": NOTHING,
    "save_teacher_logits": LOGITS,
    "score_candidate": SCORES,
    "score_report": REPORT,
    "train_baseline": BASELINE,
    "train_teacher": TRAINING,
    "trial": NOTHING,
}
FILES = [
    *[
        Edit(f"code: `shears/{name}.py`", code(f"shears/{name}.py"), jobs)
        for name, jobs in MODULES.items()
    ],
    *[
        Edit(f"code: `scripts/{name}.py`", code(f"scripts/{name}.py"), jobs)
        for name, jobs in SCRIPTS.items()
    ],
    # Part A's notebook has the optimizers' source, word for word.
    Edit("comments and docstrings, anywhere", remarks, NOTEBOOK),
    Edit("the wording of errors and log lines, anywhere", reworded, NOTEBOOK),
    Edit("every file's date", touch, NOTHING),
    Edit(
        "`report/report.html.j2`",
        text("report/report.html.j2", "<!-- edited -->\n"),
        REPORT,
    ),
    Edit(
        "`shears/classroom/leaderboard.html.j2`",
        text("shears/classroom/leaderboard.html.j2", "<!-- edited -->\n"),
        NOTHING,
    ),
    *[
        Edit(
            f"`shears/reporting/{name}`",
            text(f"shears/reporting/{name}", comment),
            REPORT,
        )
        for name, comment in (
            ("page.css", "/* edited */\n"),
            ("page.js", "// edited\n"),
            ("parts.html.j2", "{# edited #}\n"),
        )
    ],
    *[
        Edit(
            f"`shears/reporting/{name}`",
            text(f"shears/reporting/{name}", "{# edited #}\n"),
            NOTHING,
        )
        for name in ("comparison.html.j2", "live.html.j2", "live_body.html.j2")
    ],
    *[
        Edit(
            f"`shears/inference/{name}`",
            text(f"shears/inference/{name}", "/* edited */\n"),
            LATENCY,
        )
        for name in ("network.c", "network.h", "constant.c")
    ],
    Edit(
        "`notebooks/assignment_notebook.ipynb`",
        text("notebooks/assignment_notebook.ipynb", "\n"),
        NOTEBOOK,
    ),
    Edit(
        "`notebooks/pruning_notebook.ipynb`",
        text("notebooks/pruning_notebook.ipynb", "\n"),
        PART_B,
    ),
    Edit(
        "`report/score_report.rst` (Snakemake's own report)",
        text("report/score_report.rst", "Edited.\n"),
        NOTHING,
    ),
    Edit(
        "`schemas/config.schema.yaml`",
        text("schemas/config.schema.yaml", "# edited\n"),
        NOTHING,
    ),
    Edit(
        "`envs/requirements.lock`",
        text("envs/requirements.lock", "# edited\n"),
        NOTHING,
    ),
]
EDITS = KEYS + FILES


def words(jobs: Mapping[str, int]) -> str:
    """Describes in words which rules rerun."""
    if "download_cifar10" in jobs:
        return "everything, the download too"
    return next(description for known, description in WORDS if known == jobs)


def table() -> str:
    """Renders the table; edits with the same outcome share a line."""
    lines = ["| edit | reruns |", "|---|---|"]
    for part in (KEYS, FILES):
        outcomes: dict[str, list[str]] = {}
        for edit in part:
            outcomes.setdefault(words(edit.jobs), []).append(edit.what)
        for outcome, edits in outcomes.items():
            lines.append(f"| {_shorten(edits)} | {outcome} |")
    return "\n".join(lines) + "\n"


def _shorten(edits: list[str]) -> str:
    """Joins edits, and writes a common beginning only once."""
    groups: dict[str, list[str]] = {}
    for edit in edits:
        start, colon, rest = edit.partition(": ")
        if not colon or start.startswith("`"):
            start, rest = edit, ""
        groups.setdefault(start, []).append(rest)
    return "; ".join(
        f"{start}: {', '.join(rest)}" if rest[0] else start
        for start, rest in groups.items()
    )
