"""Searches for settings of a pruning round with Optuna, by validation accuracy alone.

It builds on a finished run (`--run`): its data, its dense network, its teacher's
logits. Each trial prunes the dense network to `--sparsity` in `--epochs` epochs on
`--images` of the training images and is judged by the validation set. Trials are kept
in a file, so a stopped search resumes: `make search ARGS="--trials 20"`.
"""

import argparse
import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from shears.data.dataset import Split, read_split
from shears.data.splits import split_off
from shears.plan import plan
from shears.pruning.rounds import RoundSpec, plan_round
from shears.runtime.device import choose_precision, prepare
from shears.runtime.errors import plain_errors
from shears.runtime.output import checked_output
from shears.runtime.paths import expand_of
from shears.training.loop import steps_per_epoch, train_network
from shears.training.recipe import Recipe
from shears.training.run_context import RunContext
from shears.training.soft_targets import read_soft_targets
from shears.weight_files.canonical import read_weights
from tools.configuration import read_configuration, require

ROOT = Path(__file__).resolve().parents[1]


def suggest(trial: optuna.Trial) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draws changes to the recipe and to the method."""
    recipe = {
        "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
        "distillation": trial.suggest_float("distillation", 0.3, 1.0),
        "temperature": trial.suggest_float("temperature", 1.0, 8.0, log=True),
    }
    method = {
        "end_step": trial.suggest_float("end_step", 0.1, 0.8),
        "drop_fraction": trial.suggest_categorical("drop_fraction", [0.0, 0.1, 0.3]),
        "allocation": trial.suggest_categorical(
            "allocation", ["lamp", "global", "erk"]
        ),
    }
    return recipe, method


def main() -> None:
    """Runs the trials and prints the best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run",
        type=partial(expand_of, "--run"),
        default=ROOT,
        help="folder of the run",
    )
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--images", type=int, default=10_000, help="training images")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--sparsity", type=float, default=0.98)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = read_configuration().model_copy(update={"run": ("lamp",)})
    planned, results = plan(config), Path(options.run) / "results"
    method, seed = planned.methods["lamp"].settings, config.seeds[0]
    dense = results / method.baseline / f"seed_{seed}/weights.h5"
    require(dense, "make reproduce, or name another run with --run")
    prepare(gpus=1)
    logging.getLogger("shears").setLevel(logging.WARNING)

    whole = read_split(results / "dataset.h5", "train")
    rows = np.arange(len(whole.labels))
    if options.images < len(rows):
        numbered = Split(rows, whole.labels)
        rows = split_off(numbered, options.images, options.seed)[1].images
    training = Split(whole.images[rows], whole.labels[rows])
    validation = read_split(results / "dataset.h5", "validation")
    files: list[Path] = []
    if method.teacher == "strong":  # as many files as the run has
        first = results / "teacher/teacher_logits_1.h5"
        found = first.parent.glob("teacher_logits_*.h5")
        files = sorted(found, key=lambda p: int(p.stem.rpartition("_")[2])) or [first]
    soft_targets = read_soft_targets(files, len(whole.labels))
    if soft_targets:
        if soft_targets.mixed:  # with images that are not among those selected
            raise SystemExit("views: mixed: found mixed views, expected 0 for a search")
        names = ("places", "shares", "logits")
        selected = {name: getattr(soft_targets, name)[:, rows] for name in names}
        soft_targets = soft_targets._replace(**selected)
    context = RunContext(
        precision=choose_precision(config.precision), seed=options.seed
    )
    round_spec = planned.round_spec("lamp", seed, 1).model_dump()
    round_spec |= {"sparsity": options.sparsity, "seed": options.seed}

    def accuracy(trial: optuna.Trial) -> float:
        recipe_changes, method_changes = suggest(trial)
        settings = planned.round_recipe("lamp", 1).model_dump()
        recipe = Recipe(**{**settings, **recipe_changes, "epochs": options.epochs})
        start, masks = plan_round(
            read_weights(dense),
            RoundSpec(**{**round_spec, **method_changes}),
            steps=recipe.epochs * steps_per_epoch(len(rows), recipe),
            batch_norm=recipe.batch_norm,
        )
        _, history = train_network(
            start,
            training,
            validation,
            recipe,
            context,
            soft_targets=soft_targets,
            masks=masks,
        )
        trial.set_user_attr("recipe", recipe.model_dump(mode="json"))
        return history[-1]["validation_accuracy"]

    name = (
        f"{options.sparsity:g} in {options.epochs} epochs of {options.images:,} images"
    )
    study = optuna.create_study(
        study_name=name,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=options.seed, multivariate=True),
        storage=JournalStorage(JournalFileBackend(str(results / "search.journal"))),
        load_if_exists=True,
    )
    study.optimize(accuracy, n_trials=options.trials)
    print(f"{len(study.trials)} trials of {name}")
    best = sorted(study.trials, key=lambda t: -(t.value or 0))[:5]
    for trial in best:
        print(f"{trial.value or 0:.4f}  {trial.params}")


if __name__ == "__main__":
    with checked_output(), plain_errors():
        main()
