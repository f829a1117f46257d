"""Candidates as the report shows them: names, groups and rows for charts."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shears.evaluation.analysis import frontier
from shears.reporting import charts
from shears.runtime.files import read_csv


class Candidate(NamedTuple):
    """What is known about a candidate.

    Attributes:
        name: Its folder: ``baseline/seed_0`` or ``method/seed_0/round_1``.
        validation: Its score on the validation set (`GradedNetwork.score`).
        test: Its score on the test set.
        metrics: The metrics of its training.
        history: Its training, a row per epoch; none if it was imported.
        weights: Its weights file.
        predictions: CSV file: label and prediction of each test image.
    """

    name: str
    validation: Mapping[str, float]
    test: Mapping[str, float]
    metrics: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]
    weights: str | Path = ""
    predictions: str | Path = ""

    @property
    def title(self) -> str:
        """The name, for readers."""
        return title(self.name)

    @property
    def method(self) -> str:
        """The method or baseline, for readers."""
        return title(self.name.split("/")[0])

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.name.split("/")[1].removeprefix("seed_"))

    @property
    def round(self) -> int:
        """Its round; 0 for a baseline."""
        return int(self.name.partition("/round_")[2] or 0)

    @property
    def stage(self) -> str:
        """Its stage in the chain: the baseline or a round."""
        return f"round {self.round}" if self.round else self.method

    @property
    def origin(self) -> str:
        """Where it was imported from, in words; nothing if it was trained here."""
        if "imported" not in self.metrics:
            return ""
        about = self.metrics["imported"]
        return (
            f"The baseline {self.method} was imported from {about['file']} "
            f"({about['layout']}, written by Keras {about['writer']}), not trained"
        )

    def read_predictions(self) -> tuple[np.ndarray, np.ndarray]:
        """Reads labels and predictions of the test images, (N,) uint8 each.

        Raises:
            FileNotFoundError: They were not kept.
            UserError: The file is damaged.
        """
        rows = read_csv(self.predictions)
        labels, predictions = (
            np.array([row[key] for row in rows], np.uint8)
            for key in ("label", "prediction")
        )
        return labels, predictions

    @property
    def chain(self) -> str:
        """The chain it belongs to: a method and a seed, or a baseline and a seed."""
        return "/".join(self.name.split("/")[:2])


def title(name: str) -> str:
    """Writes a candidate's name for readers: "lamp, seed 0, round 1"."""
    return name.replace("/", ", ").replace("_", " ")


def over_seeds(candidates: Sequence[Candidate]) -> dict[str, list[list[Candidate]]]:
    """Groups candidates by method or baseline, then by round; a group has all seeds."""
    groups: dict[str, dict[int, list[Candidate]]] = {}
    for candidate in candidates:
        kind = candidate.name.split("/")[0]
        groups.setdefault(kind, {}).setdefault(candidate.round, []).append(candidate)
    return {kind: list(rounds.values()) for kind, rounds in groups.items()}


def mean_scores(
    candidates: Sequence[Candidate], key: str = "score", name: str = "scores"
) -> charts.Chart:
    """Draws the mean test score, or accuracy, over seeds against sparsity.

    A mean of 0 is left out, unless there are no others: it only says that accuracy was
    too low, and would squash all other means into a line.
    """
    groups = [same for rounds in over_seeds(candidates).values() for same in rounds]
    shown = [same for same in groups if any(c.test[key] > 0 for c in same)] or groups
    rows = []
    for same in shown:
        values = [c.test[key] for c in same]
        rows.append(
            {
                "method": same[0].method,
                "sparsity": same[0].test["sparsity"],
                "mean": statistics.mean(values),
                "std": statistics.stdev(values) if len(values) > 1 else 0.0,
                "n": len(values),
            }
        )
    left_out = len(candidates) - sum(map(len, shown))
    return charts.draw_means(rows, f"test {key}", name, left_out=left_out)


def score_rows(candidates: Sequence[Candidate], chosen: str) -> list[dict[str, Any]]:
    """Lists the rows for the charts of single candidates."""
    return [
        {
            "title": c.title,
            "method": c.method,
            "sparsity": c.test["sparsity"],
            "chosen": c.name == chosen,
            **{
                f"{split}{suffix}": getattr(c, split)[key]
                for split in ("test", "validation")
                for suffix, key in (("", "accuracy"), ("_score", "score"))
            },
        }
        for c in candidates
    ]


def draw_frontier(rows: charts.Rows) -> charts.Chart:
    """Draws the rows of `score_rows` with the frontier of each split."""
    best = {
        split: frontier([(row["sparsity"], row[split]) for row in rows])
        for split in ("test", "validation")
    }
    return charts.draw_plane(rows, best)


def history_rows(
    chain: Sequence[Candidate],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Joins the histories of a chain, and lists where its stages begin."""
    rows: list[dict[str, Any]] = []
    cuts: list[dict[str, Any]] = []
    start, before = 0, 0.0
    for candidate in chain:
        end = start
        for row in candidate.history:
            epoch = start + int(row["epoch"])
            rows.append({**row, "epoch": epoch, "stage": candidate.stage})
            if candidate.round and row["sparsity"] > before:
                end, before = epoch, row["sparsity"]
        if candidate.history:  # else it was imported
            cuts.append({"stage": candidate.stage, "start": start, "cut_end": end})
        start += len(candidate.history)
    return rows, cuts
