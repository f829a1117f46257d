"""Asks Part A's classes for numbers on a problem that nobody has seen, and checks them.

What runs in a notebook's process can be made to say anything there. So a problem is
drawn after the notebook's cells have run, its classes compute with it in their process,
and what they send back are numbers, which are recomputed here, in float64 with NumPy.
Numbers that fit are those of a right implementation, whoever sends them.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shears.notebooks.source import in_own_namespace
from shears.optimizer_study.course_notebook import POINTS
from shears.runtime.errors import brief

#: Type of what the notebook displays.
MIME = "application/x-shears-numbers+json"
SAMPLES = 2000  # as many as the course's: a solution may count on it
ASKED = 50  # samples whose predictions are asked for
LONGEST_ANSWER = 200_000  # characters
#: Ranges of the learning rates: in a few updates, no error changes its sign.
RATES = {
    "GD": (0.01, 0.03),
    "SGD": (0.005, 0.01),
    "AdaGrad": (0.01, 0.03),
    "Adam": (0.005, 0.02),
}
RTOL, ATOL = 1e-3, 5e-6  # of a step; float32 has 5e-7 at the size of the parameters

_KEEP = """\
notebook.setdefault("_shears_kept", {}).update(
    {n: notebook[n] for n in %r if n in notebook}
)
"""
_ASK = """\
def _shears_ask(text):
    import base64, json
    import numpy as np
    import tensorflow as tf
    from IPython.display import display

    asked = json.loads(text)
    kept = {**notebook, **notebook.get("_shears_kept", {})}
    data = np.frombuffer(base64.b64decode(asked["data"]), "<f4").reshape(-1, 3)
    X, y = tf.constant(data[:, :2]), tf.constant(data[:, 2:])
    used = []

    def watch(theirs, name):
        before = getattr(theirs, name)

        def called(*args, **options):
            used.append(1)
            return before(*args, **options)

        setattr(theirs, name, called)

    def numbers(value):
        return np.asarray(value, "float64").reshape(-1)[:64].tolist()

    def parts_of(grads):
        try:
            parts = tf.nest.flatten(grads)
            # Pairs of gradients and variables are what Keras' apply_gradients takes.
            alone = [part for part in parts if not hasattr(part, "assign")]
            return [numbers(part) for part in alone or parts][:8]
        except Exception:
            return []

    def model():
        new = kept["Linear"]()
        new.w.assign(tf.reshape(tf.constant(asked["w"], tf.float32), new.w.shape))
        new.b.assign(tf.reshape(tf.constant(asked["b"], tf.float32), new.b.shape))
        return new

    def of_model():
        some, true = X[: asked["count"]], y[: asked["count"]]
        predicted, losses = model()(some), []
        for shape in ((-1, 1), np.shape(predicted)):  # also that of its own model
            try:
                likely = tf.reshape(some[:, 0], shape)  # like any other predictions
                losses.append(numbers(kept["loss"](true, likely)))
            except Exception as error:
                failure = error
        if not losses:
            raise failure
        return {"predictions": numbers(predicted), "losses": losses}

    def of_optimizer(name):
        new, optimizer = model(), kept[name](lr=asked["rates"][name])
        path, gradients = [numbers(new.w) + numbers(new.b)], []
        for _ in range(asked["updates"]):
            grads = optimizer.calculate_gradient(X, y, new)
            if hasattr(grads, "__next__"):  # a zip, which can be read once
                grads = list(grads)
            gradients.append(parts_of(grads))
            optimizer.apply_gradient(grads, new)
            path.append(numbers(new.w) + numbers(new.b))
        return {"path": path, "gradients": gradients}

    for module in (tf.keras.optimizers, tf.compat.v1.train):
        for name in ("__init__", "apply", "apply_gradients"):
            try:
                watch(module.Optimizer, name)
            except Exception:  # not all versions have all
                pass
    answers = {}
    for test in asked["tests"]:
        name = test[len("test_") :]
        try:
            answers[test] = of_model() if name == "LR_MSE" else of_optimizer(name)
            answers[test]["banned"] = len(used)
        except Exception as error:
            answers[test] = {"error": f"{type(error).__name__}: {error}"[:300]}
        used.clear()
    display({asked["mime"]: json.dumps(answers)}, raw=True)


_shears_ask(%r)
"""


@dataclass(frozen=True)
class Problem:
    """A regression, a model to start from, and settings.

    Attributes:
        features: (N, 2) float32.
        targets: (N, 1) float32.
        w: (2,) float32, the model's weights at the start.
        b: The model's bias at the start, a float32 value.
        rates: Each optimizer's learning rate.
        updates: How many updates each optimizer makes.
    """

    features: np.ndarray
    targets: np.ndarray
    w: np.ndarray
    b: float
    rates: Mapping[str, float]
    updates: int


class _Wrong(Exception):
    """A number is not the one that was recomputed; says which to a student."""


def keep(solution: str) -> str:
    """Writes the code that runs after a solution cell and keeps what it defines.

    A later cell may use the names for something else.

    Args:
        solution: The cell's id: "LR_MSE", "GD" and so on.
    """
    names = ("Linear", "loss") if solution == "LR_MSE" else (solution,)
    return in_own_namespace(_KEEP % (names,))


def draw_problem(rng: np.random.Generator | None = None) -> Problem:
    """Draws a problem; without `rng`, from the system's entropy.

    At the start, every error is between 1 and 3 and has the same sign, and features are
    between 0.5 and 1.5 in size: no gradient is so small that it matters where an
    optimizer adds its epsilon.
    """
    rng = rng or np.random.default_rng()
    sign = rng.choice([-1, 1], 3)
    mixed = rng.choice([-1, 1], (SAMPLES, 2), p=[0.3, 0.7]) * sign[:2]
    features = (mixed * rng.uniform(0.5, 1.5, (SAMPLES, 2))).astype(np.float32)
    w = rng.uniform(-4, 4, 2).astype(np.float32)
    b = float(np.float32(rng.uniform(-4, 4)))
    errors = sign[2] * rng.uniform(1, 3, SAMPLES)
    targets = (features @ w.astype(float) + b + errors).astype(np.float32)
    rates = {name: float(rng.uniform(*ends)) for name, ends in RATES.items()}
    return Problem(features, targets[:, None], w, b, rates, int(rng.integers(4, 7)))


def ask(problem: Problem) -> str:
    """Writes the cell that sends the numbers back, as JSON of type `MIME`."""
    data = np.hstack([problem.features, problem.targets]).astype("<f4")
    asked = {
        "data": base64.b64encode(data.tobytes()).decode(),
        "w": problem.w.tolist(),
        "b": problem.b,
        "rates": dict(problem.rates),
        "updates": problem.updates,
        "count": ASKED,
        "tests": list(POINTS),
        "mime": MIME,
    }
    return in_own_namespace(_ASK.replace("%r", repr(json.dumps(asked))))


def judge(problem: Problem, data: Mapping[str, Any]) -> dict[str, str | None]:
    """Compares what a notebook sent back with what is recomputed here.

    Args:
        problem: The problem that was asked about.
        data: What the cell displayed, by MIME type; it may be anything.

    Returns:
        For each test, why its numbers are wrong, in one line that does not say what is
        right; None if they are right.
    """
    answers = _read(data.get(MIME))
    verdicts: dict[str, str | None] = {}
    for test in POINTS:
        try:
            _judge_test(problem, test, answers.get(test))
            verdicts[test] = None
        except _Wrong as wrong:
            verdicts[test] = f"on fresh data, {wrong}"
    return verdicts


def _read(text: Any) -> dict[str, Any]:
    """Parses an answer; nothing in it is run."""
    if not isinstance(text, str) or len(text) > LONGEST_ANSWER:
        return {}
    try:
        answers = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answers if isinstance(answers, dict) else {}


def _numbers(value: Any, what: str) -> np.ndarray:
    """Makes an array of a list of numbers, which it may not be."""
    try:
        if all(type(part) in (int, float) for part in value):
            return np.array([float(part) for part in value])
    except (TypeError, OverflowError):
        pass
    raise _Wrong(f"it gave no numbers for {what}")


def _judge_test(problem: Problem, test: str, answer: Any) -> None:
    """Raises `_Wrong` if a test's numbers are not right."""
    if not isinstance(answer, dict):
        raise _Wrong("it gave no answer")
    if "error" in answer:
        raise _Wrong(f"it raised {brief(answer['error'])}")
    if answer.get("banned") != 0:
        raise _Wrong("it used one of TensorFlow's own optimizers")
    name = test.removeprefix("test_")
    if name == "LR_MSE":
        _judge_model(problem, answer)
    else:
        _judge_optimizer(problem, name, answer)


def _close(values: np.ndarray, expected: np.ndarray, rtol: float, atol: float) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.all(np.abs(values - expected) <= atol + rtol * abs(expected)))


def _judge_model(problem: Problem, answer: Mapping[str, Any]) -> None:
    features, targets = problem.features[:ASKED], problem.targets[:ASKED, 0]
    expected = features.astype(float) @ problem.w.astype(float) + problem.b
    predictions = _numbers(answer.get("predictions"), "the predictions")
    if len(predictions) != ASKED:
        raise _Wrong("Linear does not give one prediction for each sample")
    if not _close(predictions, expected, 1e-4, 1e-4):
        raise _Wrong("Linear's predictions are not X w + b")
    squares = np.mean((features[:, 0].astype(float) - targets) ** 2)
    losses = answer.get("losses")
    if not isinstance(losses, list) or not any(
        len(loss) and _close(np.mean(loss), squares, 1e-4, 1e-6)
        for loss in (_numbers(one, "the loss") for one in losses[:2])
    ):
        raise _Wrong("loss is not the mean squared error")


def _judge_optimizer(problem: Problem, name: str, answer: Mapping[str, Any]) -> None:
    path, gradients = answer.get("path"), answer.get("gradients")
    for rows, count in ((path, problem.updates + 1), (gradients, problem.updates)):
        if not isinstance(rows, list) or len(rows) != count:
            raise _Wrong("it gave no answer for each update")
    assert isinstance(path, list) and isinstance(gradients, list)
    points = [_numbers(row, "w and b") for row in path]
    if any(point.shape != (3,) for point in points):
        raise _Wrong("the model has not two values in w and one in b")
    if not _close(points[0], np.append(problem.w, problem.b), 1e-6, 1e-6):
        raise _Wrong("w and b do not keep the values that are assigned to them")
    rule = _RULES[name](problem.rates[name])
    for number, (before, after) in enumerate(zip(points, points[1:], strict=False)):
        each = _gradients(problem, before)
        update = f"update {number + 1}"
        if name in _NEEDS_GRADIENT:
            gradient = _order(gradients[number])
            every = np.vstack([each, each.mean(0)])
            if not _matches(gradient, every, 1e-3, 1e-3):
                raise _Wrong(
                    f"calculate_gradient does not return the loss' gradient of one "
                    f"sample, or of all, by w and b ({update})"
                )
            steps = rule(gradient)[None]
        else:
            steps = rule(each if name == "SGD" else each.mean(0, keepdims=True))
        if not _matches(after - before, steps, RTOL, ATOL):
            raise _Wrong(f"{update} is not {_SAYS[name]}")


def _gradients(problem: Problem, point: np.ndarray) -> np.ndarray:
    """Computes the gradient of each sample's squared error: (N, 3) float64."""
    ones = np.ones((len(problem.features), 1))
    rows = np.hstack([problem.features.astype(float), ones])
    with np.errstate(invalid="ignore", over="ignore"):
        return 2 * (rows @ point - problem.targets[:, 0])[:, None] * rows


def _order(parts: Any) -> np.ndarray:
    """Returns a gradient by w and then by b, (3,), whichever comes first."""
    if isinstance(parts, list):
        arrays = [_numbers(part, "the gradients") for part in parts]
        together = np.concatenate([np.empty(0), *sorted(arrays, key=lambda a: -len(a))])
        if together.shape == (3,):
            return together
    raise _Wrong(
        "calculate_gradient does not return the gradients by w, two values, and by b"
    )


def _matches(row: np.ndarray, rows: np.ndarray, rtol: float, atol: float) -> bool:
    """Returns whether a vector is one of several."""
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(row - rows) <= atol + rtol * np.abs(rows)
    return bool(near.all(1).any())


Rule = Callable[[np.ndarray], np.ndarray]  # from a gradient to a step


def _descent(rate: float) -> Rule:
    return lambda gradient: -rate * gradient


def _adagrad(rate: float) -> Rule:
    total = np.full(3, 0.1)  # as the notebook gives it

    def step(gradient: np.ndarray) -> np.ndarray:
        nonlocal total
        total = total + gradient**2
        return -rate * gradient / np.sqrt(total)

    return step


def _adam(rate: float) -> Rule:
    count, mu, nu = 0, np.zeros(3), np.zeros(3)

    def step(gradient: np.ndarray) -> np.ndarray:
        nonlocal count, mu, nu
        count += 1
        mu = 0.9 * mu + 0.1 * gradient
        nu = 0.999 * nu + 0.001 * gradient**2
        return -rate * mu / (1 - 0.9**count) / np.sqrt(nu / (1 - 0.999**count))

    return step


_RULES: Mapping[str, Callable[[float], Rule]] = {
    "GD": _descent,
    "SGD": _descent,
    "AdaGrad": _adagrad,
    "Adam": _adam,
}
_NEEDS_GRADIENT = ("AdaGrad", "Adam")  # their first step hardly depends on it
_SAYS = {
    "GD": "lr times the gradient over all samples",
    "SGD": "lr times the gradient of one sample",
    "AdaGrad": "AdaGrad's for the gradients so far",
    "Adam": "Adam's for the gradients so far; is the bias of both averages corrected?",
}
