"""Searches settings of a pruning round with Optuna, by validation accuracy alone.

It stands on a finished run (`--run`): its data, its dense network, its teacher's
answers. Each trial prunes the dense network to `--sparsity` in `--epochs` epochs on
`--images` of the training images and is judged by the validation set. Trials are kept
in a file, so a search that was ended goes on: `make search ARGS="--trials 20"`.
"""

import argparse
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from shears.data.dataset import Split, read_split, split_off
from shears.pruning.rounds import plan_round
from shears.runtime.device import choose_precision, prepare
from shears.runtime.errors import plain_errors
from shears.training.loop import steps_per_epoch, train_network
from shears.training.recipe import Recipe
from shears.training.soft_targets import read_lessons
from shears.weight_files.canonical import read_weights
from tools.configuration import read_configuration, require

ROOT = Path(__file__).resolve().parents[1]


def suggest(trial: optuna.Trial) -> tuple[dict, dict]:
    """Draws changes of the recipe and of the method."""
    recipe = {
        "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
        "distillation": trial.suggest_float("distillation", 0.3, 1.0),
        "temperature": trial.suggest_float("temperature", 1.0, 8.0, log=True),
    }
    method = {
        "ramp": trial.suggest_float("ramp", 0.1, 0.8),
        "regrowth": trial.suggest_categorical("regrowth", [0.0, 0.1, 0.3]),
        "allocation": trial.suggest_categorical(
            "allocation", ["lamp", "global", "erk"]
        ),
    }
    return recipe, method


def main() -> None:
    """Runs the trials asked for and prints the best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=ROOT, help="folder of the run")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--images", type=int, default=10_000, help="training images")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--sparsity", type=float, default=0.98)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    config = read_configuration()
    method, results = config["pruning"], asked.run / "results"
    dense = results / method["baseline"] / f"seed_{config['seeds'][0]}/weights.h5"
    require(dense, "make reproduce, or name another with --run")
    prepare(gpus=1)
    logging.getLogger("shears").setLevel(logging.WARNING)

    whole = read_split(results / "dataset.h5", "train")
    rows = np.arange(len(whole.labels))
    if asked.images < len(rows):
        numbered = Split(rows, whole.labels)
        rows = split_off(numbered, asked.images, asked.seed)[1].images
    training = Split(whole.images[rows], whole.labels[rows])
    validation = read_split(results / "dataset.h5", "validation")
    lessons = None
    if method["teacher"] == "strong":
        lessons = read_lessons(results / "teacher/lessons.h5", len(whole.labels))
        lessons = lessons._replace(
            views=lessons.views[rows], logits=lessons.logits[rows]
        )

    def accuracy(trial: optuna.Trial) -> float:
        changed, otherwise = suggest(trial)
        recipe = config["recipes"][method["recipe"]]
        recipe = Recipe(**{**recipe, **changed, "epochs": asked.epochs})
        settings = {**method, **otherwise, "sparsity": asked.sparsity}
        settings |= {"seed": asked.seed, "initial_seed": asked.seed}
        settings["recipe"] = asdict(recipe)
        weights, masks = plan_round(
            {"previous": read_weights(dense)},
            settings,
            steps=recipe.epochs * steps_per_epoch(len(rows), recipe),
        )
        _, history = train_network(
            weights,
            training,
            validation,
            recipe,
            lessons=lessons,
            precision=choose_precision(config["precision"]),
            seed=asked.seed,
            **masks,
        )
        trial.set_user_attr("recipe", asdict(recipe))
        return history[-1]["validation_accuracy"]

    name = f"{asked.sparsity:g} in {asked.epochs} epochs of {asked.images:,} images"
    study = optuna.create_study(
        study_name=name,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=asked.seed, multivariate=True),
        storage=JournalStorage(JournalFileBackend(str(results / "search.journal"))),
        load_if_exists=True,
    )
    study.optimize(accuracy, n_trials=asked.trials)
    print(f"{len(study.trials)} trials of {name}")
    best = sorted(study.trials, key=lambda t: -(t.value or 0))[:5]
    for trial in best:
        print(f"{trial.value or 0:.4f}  {trial.params}")


if __name__ == "__main__":
    with plain_errors():
        main()
