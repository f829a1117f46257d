"""Made-up classes, as leaderboard.json holds them, for tests and pictures."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

WEIGHTS = 1_250_858
IMAGES = 10_000
FIRST = (
    "Ada Alan Amara Anil Astrid Beatriz Boris Chen Chloe Dana Diego Elif Emeka Farah "
    "Freya Grace Hana Hugo Ines Ivan Jamal Jana Kavya Kofi Lars Leila Lin Lucia Mateo "
    "Mei Nadia Nils Olga Omar Priya Rosa Samir Sofia Tariq Yuki"
).split()
LAST = (
    "Adeyemi Berg Costa Dubois Eriksen Fischer Garcia Haddad Ivanov Jensen Kim Lopez "
    "Moreau Nakamura Okafor Patel Quinn Rossi Silva Tanaka Ueda Vargas Wang Yilmaz Zhou"
).split()
REASONS = (
    "found 10 arrays, expected the 12 of the assignment's network: Conv2D 32, 32, 64, "
    "64, Dense 512, 10",
    "found no HDF5 file; expected weights saved by model.save_weights('x.h5')",
    "found NaN in dense_1/kernel",
)


def time_of(minutes: float) -> str:
    moment = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def student(name: str, **values: Any) -> dict[str, Any]:
    """A student without a file; `values` replace what is said of the student."""
    return {
        "name": name,
        **dict.fromkeys(
            "rank score accuracy correct zeros sparsity time file bytes sha256 "
            "refused".split()
        ),
        "change": {"score": None, "rank": None, "new": False},
        "uploads": [],
        "same_weights": [],
        "same_mask": [],
        **values,
    }


def upload(correct: int, zeros: int, time: str | None) -> dict[str, Any]:
    """An upload that is scored."""
    accuracy, sparsity = correct / IMAGES, zeros / WEIGHTS
    score = (accuracy + sparsity) / 2 if accuracy > 0.65 else 0.0
    return {
        **{"time": time, "score": score, "accuracy": accuracy, "sparsity": sparsity},
        "refused": None,
    }


def scored(name: str, correct: int, zeros: int, **values: Any) -> dict[str, Any]:
    """A student with one upload, of unknown time."""
    only = upload(correct, zeros, values.get("time"))
    about = {"correct": correct, "zeros": zeros, "file": f"{name}/weights.h5"}
    about |= {"bytes": 130_000, "sha256": "ab" * 32, "uploads": [only]}
    return student(name, **{**only, **about, "rank": 1, **values})


def board(students: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
    """A leaderboard of students in their order."""
    return {
        **{"made": "2026-11-29T17:05:00Z", "images": IMAGES, "least_accuracy": 0.65},
        **{"anonymous": False, "students": students},
        **values,
    }


def _hand_in_alike(
    one: dict[str, Any], other: dict[str, Any], same: str, worse: int
) -> None:
    """Gives the other one's last upload the same zeros, and fewer images right."""
    last = upload(one["correct"] - worse, one["zeros"], other["time"])
    last |= {"correct": one["correct"] - worse, "zeros": one["zeros"]}
    other.update(last)
    other["uploads"][-1] = last
    one[same], other[same] = [other["name"]], [one["name"]]


def made_up_class(count: int, seed: int = 0) -> dict[str, Any]:
    """A class with up to five uploads each; a tenth is refused."""
    rng = np.random.default_rng(seed)
    pairs = [f"{first} {last}" for first in FIRST for last in LAST]
    names = [str(name) for name in rng.permutation(pairs)]
    names = [
        names[i % len(names)] + (f" {i // len(names) + 1}" if i >= len(names) else "")
        for i in range(count)
    ]
    students = []
    for i, name in enumerate(names):
        uploads = []
        minutes = rng.uniform(0, 20_000)
        sparsity = 1 - float(np.exp(rng.normal(-2.9, 0.8)))
        accuracy = min(0.86, 0.84 - 0.08 * sparsity**8 + rng.normal(0, 0.025))
        if rng.random() < 0.06:
            accuracy -= 0.2
        for _ in range(rng.integers(1, 6)):
            minutes += rng.uniform(200, 4000)
            correct = round(IMAGES * accuracy)
            uploads.append(
                upload(correct, round(WEIGHTS * sparsity), time_of(minutes))
                | {"correct": correct, "zeros": round(WEIGHTS * sparsity)}
            )
            sparsity = min(0.995, sparsity + 0.3 * (1 - sparsity) * rng.random())
            accuracy = min(0.87, accuracy + rng.normal(0.004, 0.006))
        refused = rng.random() < 0.1 and i > 0
        if refused:
            uploads[-1] = dict.fromkeys(uploads[-1], None) | {
                "time": uploads[-1]["time"],
                "refused": REASONS[i % len(REASONS)],
            }
        about = {"file": f"submission_{i + 1}/my_model_weights.h5", "bytes": 130_000}
        students.append(
            student(name, **uploads[-1], **about, sha256=f"{i:064x}", uploads=uploads)
        )

    def by_score(one: dict[str, Any]) -> tuple[bool, float]:
        return one["score"] is None, -(one["score"] or 0)

    students.sort(key=by_score)
    if count >= 12:
        _hand_in_alike(*students[2:4], same="same_weights", worse=0)
        _hand_in_alike(students[5], students[7], same="same_mask", worse=40)
        students.sort(key=by_score)
    for i, one in enumerate(students):
        if one["score"] is not None:
            before = students[i - 1] if i else one
            same = i and before["score"] == one["score"]
            one["rank"] = before["rank"] if same else i + 1
            earlier = one["uploads"][-2:-1]
            if earlier and earlier[0]["score"] is not None and i % 3:
                gain = one["score"] - earlier[0]["score"]
                rank = int(rng.integers(0, 5)) * (1 if gain > 0 else -1)
                one["change"] = {"score": gain, "rank": rank, "new": False}
            elif len(one["uploads"]) == 1:
                one["change"]["new"] = True
            else:
                one["change"] = {"score": 0.0, "rank": 0, "new": False}
    return board(students)
