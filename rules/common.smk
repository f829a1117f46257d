# The checked configuration, paths, wildcard constraints and named input functions.

import json
import os
import shlex
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import update_config

from shears.budget import describe, keep_to_budget
from shears.classroom.submissions import listing
from shears.config import parse_configuration
from shears.data.views import split_views
from shears.optimizer_study.fill import fill_file
from shears.plan import plan
from shears.runtime.code_digest import code_digest
from shears.runtime.errors import UserError, plain_errors
from shears.runtime.files import read_json
from shears.runtime.machine import find_gpus
from shears.runtime.paths import expand_of, tidy
from shears.runtime.yaml_files import typed
from shears.training.speed import measure
from shears.weight_files.reader import read_weights_file

ROOT = Path(workflow.basedir)
# For Keras and the notebooks, which open HDF5 files by themselves: HDF5's lock fails where
# the file system has none. Jobs inherit it. The library needs no variable (open_hdf5).
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

FROM_COMMAND_LINE = {  # after --config
    key: typed(value) if isinstance(value, list | dict) else value
    for key, value in (workflow.config_settings.config or {}).items()
}
update_config(config, FROM_COMMAND_LINE)
with plain_errors():
    CONFIG = parse_configuration(config)
    PLAN = plan(CONFIG)
    PLAN.check_users_files()
    if CONFIG.budget:
        BUDGET = tidy(CONFIG.directory) / "results/budget.json"
        FITTING = keep_to_budget(
            PLAN,
            BUDGET,
            threads=min(16, workflow.resource_settings.cores or 1),
            gpus=find_gpus() if CONFIG.gpus == "auto" else CONFIG.gpus,
            measuring=measure if workflow.is_main_process else None,
        )
        if workflow.is_main_process:
            logger.info(describe(PLAN, FITTING, BUDGET))
        PLAN, CONFIG = FITTING, FITTING.config
config.clear()
config.update(CONFIG.model_dump(mode="json"))  # with defaults, for scripts and report

BASE = tidy(CONFIG.directory)
RESULTS = BASE / "results"
REFIT = RESULTS / "refit"
LOGS = BASE / "logs"
BENCHMARKS = BASE / "benchmarks"
CHECKPOINTS = BASE / "checkpoints"
CELLS = [
    (data_set, optimizer, implementation)
    for data_set in CONFIG.optimizers.data_sets
    for optimizer in ("gradient_descent", "sgd", "adagrad", "adam")
    for implementation in ("ours", "keras")
]
NOTEBOOK = RESULTS / "submission/assignment_notebook.ipynb"
NOTEBOOKS = [NOTEBOOK] if CELLS or PLAN.notebook else []  # none without Part A
COMMAND = ["snakemake", "--cores", "all"]  # reproduces the run
if workflow.config_settings.configfiles:
    COMMAND += ["--configfile", *map(os.path.relpath, workflow.overwrite_configfiles)]
if FROM_COMMAND_LINE:
    COMMAND += ["--config"]
    COMMAND += [f"{key}={json.dumps(v)}" for key, v in FROM_COMMAND_LINE.items()]
BASELINES = {
    f"{name}/seed_{seed}": PLAN.baseline_of(f"{name}/seed_{seed}")
    for name in PLAN.methods
    for seed in CONFIG.seeds
}
C_TEMPLATES = [
    os.path.relpath(ROOT / f"shears/inference/{name}")
    for name in ("network.c", "network.h", "constant.c")
]
VIEWS = split_views(CONFIG.views.count)
MOST_ROUNDS = max((len(m.settings.rounds) for m in PLAN.methods.values()), default=0)


def one_of(values) -> str:
    """The pattern of a wildcard that has one of these values."""
    return "|".join(map(str, values)) or "(?!)"  # without values, matches nothing


wildcard_constraints:
    candidate=one_of(PLAN.candidates),
    baseline=one_of(PLAN.baselines),
    method=one_of(PLAN.methods),
    seed=one_of(CONFIG.seeds),
    round=one_of(n + 1 for n in range(MOST_ROUNDS)),
    teacher_seed=one_of(CONFIG.teacher.seeds),
    part=one_of(n + 1 for n in range(len(VIEWS))),
    data_set=one_of(CONFIG.optimizers.data_sets),
    optimizer="gradient_descent|sgd|adagrad|adam",
    implementation="ours|keras",


def code(rule: str) -> str:
    """Digests a rule's script and the library code it uses: a change reruns the rule."""
    return code_digest(ROOT / f"scripts/{rule}.py", ROOT)


# A rule's settings are one dictionary: Snakemake compares the set of parameters' values
# without their names, so two values that swap places would go unnoticed.
def teacher_settings(wildcards) -> dict:
    """The teacher's settings; without students, its recipe may be missing."""
    with plain_errors():
        recipe = PLAN.teacher_recipe()
    return {
        "recipe": recipe.model_dump(mode="json"),
        "precision": CONFIG.precision,
        "width": CONFIG.teacher.width,
        "seed": int(wildcards.teacher_seed),
    }


def view_settings(wildcards) -> dict:
    """The settings of a file of logits."""
    numbers, views = VIEWS[int(wildcards.part) - 1], CONFIG.views
    if not views.mixed:  # else which views are mixed depends on the count
        views = views.model_copy(update={"count": numbers.stop})
    return {
        "views": views.model_dump(mode="json"),
        "numbers": [numbers.start, numbers.stop],
        "precision": CONFIG.precision,
    }


def baseline_settings(wildcards) -> dict:
    """A baseline's settings."""
    return {
        "recipe": PLAN.baseline_recipe(wildcards.baseline).model_dump(mode="json"),
        "precision": CONFIG.precision,
        "seed": int(wildcards.seed),
    }


def round_settings(wildcards) -> dict:
    """A pruning round's settings."""
    number = int(wildcards.round)
    spec = PLAN.round_spec(wildcards.method, int(wildcards.seed), number)
    recipe = PLAN.round_recipe(wildcards.method, number)
    return {
        "recipe": recipe.model_dump(mode="json"),
        "round": spec.model_dump(mode="json"),
        "precision": CONFIG.precision,
        "seed": spec.seed,
    }


def archive(wildcards) -> dict[str, str]:
    """The archive of the data set; the digits need none, they come with scikit-learn."""
    if CONFIG.data.name == "digits":
        return {}
    return {"archive": rules.download_cifar10.output.archive}


def study(wildcards) -> dict[str, str]:
    """The files of Part A's section in the report, if there is one."""
    return dict(rules.plot_optimizers.output.items()) if CELLS else {}


def latency(wildcards) -> dict[str, str]:
    """The file of the report's section about latency, if it is measured."""
    return dict(rules.measure_latency.output.items()) if CONFIG.latency.runs else {}


def teacher_logits(
    teacher: str, baseline: str, seed: str, folder: Path = RESULTS
) -> dict[str, list[Path]]:
    """The teacher's logits, if there is a teacher; a refit has a folder of its own."""
    if teacher == "none":
        return {}
    folder /= "teacher" if teacher == "strong" else f"{baseline}/seed_{seed}"
    files = [folder / f"teacher_logits_{part + 1}.h5" for part in range(len(VIEWS))]
    return {"teacher_logits": files}


def class_listing(wildcards) -> str:
    """A digest of the class's files: a new or changed upload reruns the job.

    They are no inputs: Snakemake's patterns cannot hold any name that a student gives.
    """
    folder = CONFIG.submissions
    with plain_errors():
        if not folder:
            raise UserError(
                "submissions: found no folder, expected that of a class: --config "
                "submissions=FOLDER"
            )
        return listing(Path(folder), RESULTS / "leaderboard")


def imported_file(wildcards) -> Path:
    """The file that a baseline is imported from."""
    return PLAN.imported[wildcards.baseline]


def check_jobs_files(jobs) -> None:
    """Checks the user's files that these jobs read, before anything trains."""
    if any(job.name == "download_cifar10" for job in jobs):
        source = expand_of("CIFAR10_ARCHIVE", os.environ.get("CIFAR10_ARCHIVE", ""))
        target = Path(rules.download_cifar10.output.archive)
        # Snakemake removes what a job makes (a link, not its target) before it starts.
        if Path(source).resolve() == target.parent.resolve() / target.name:
            raise UserError(
                f"CIFAR10_ARCHIVE={source}: is the copy that this run makes again, and "
                "would be removed first: unset it, or name another file"
            )
    if any(job.name == "fill_notebook" for job in jobs):
        fill_file(PLAN.notebook)
    names = {job.wildcards.baseline for job in jobs if job.name == "import_baseline"}
    for name in sorted(names):
        try:
            contents = read_weights_file(PLAN.imported[name])
        except UserError as error:
            raise UserError(f"baselines: {name}: weights: {error}") from None
        PLAN.check_imported_zeros(name, contents.parameters.count_zeros())


def baseline_inputs(wildcards, folder: Path = RESULTS) -> dict[str, list[Path]]:
    """A baseline's inputs besides the data."""
    teacher = CONFIG.baselines[wildcards.baseline].teacher
    return teacher_logits(teacher, wildcards.baseline, wildcards.seed, folder)


def baseline_weights(baseline: str, seed: str, folder: Path = RESULTS) -> Path:
    """A baseline's weights; one that is imported is the same in a refit."""
    folder = RESULTS if baseline in PLAN.imported else folder
    return folder / baseline / f"seed_{seed}/weights.h5"


def round_inputs(wildcards, folder: Path = RESULTS) -> dict[str, Path | list[Path]]:
    """A round's inputs besides the data; the baseline is round 0."""
    number, seed = int(wildcards.round), wildcards.seed
    method = PLAN.methods[wildcards.method].settings
    if number > len(method.rounds):
        raise WorkflowError(
            f"{wildcards.method}: found round {number}, expected at most "
            f"{len(method.rounds)}"
        )
    previous = folder / wildcards.method / f"seed_{seed}/round_{number - 1}/weights.h5"
    if number == 1 or method.mask_of:  # with another's masks, rounds are independent
        previous = baseline_weights(method.baseline, seed, folder)
    files = {"previous": previous}
    if method.mask_of:
        source = folder / method.mask_of / f"seed_{seed}/round_{number}"
        files["mask_source"] = source / "weights.h5"
    return {**files, **teacher_logits(method.teacher, method.baseline, seed, folder)}


def refit_baseline_inputs(wildcards) -> dict[str, Path]:
    """A refitted baseline's inputs besides the data."""
    return baseline_inputs(wildcards, REFIT)


def refit_round_inputs(wildcards) -> dict[str, Path]:
    """A refitted round's inputs besides the data."""
    return round_inputs(wildcards, REFIT)


def refit_baseline_weights(wildcards) -> Path:
    """The weights of a baseline that is its own teacher in a refit."""
    return baseline_weights(wildcards.baseline, wildcards.seed, REFIT)


def refitted(wildcards) -> dict[str, Path]:
    """The files of the chosen candidate's refit, if there is one: known by the choice."""
    if not CONFIG.refit:
        return {}
    choice = checkpoints.choose_submission.get().output.choice
    with plain_errors():
        name = read_json(choice)["candidate"]
    if name.split("/")[0] in PLAN.imported:
        return {}  # it was not trained here
    return {
        "refit_weights": REFIT / name / "weights.h5",
        "refit_score": REFIT / name / "score_test.json",
    }


def of_all_candidates(name: str) -> list[Path]:
    """The file of this name of every candidate."""
    return [RESULTS / candidate / name for candidate in PLAN.candidates]


def compared_networks(wildcards) -> list[Path]:
    """The networks that a trial compares: each method's after its last round."""
    with plain_errors():
        last = PLAN.last_rounds()
    return [
        RESULTS / name / f"seed_{seed}/round_{number}/weights.h5"
        for name, number in last.items()
        for seed in CONFIG.seeds
    ]
