"""Right solutions of any usual style give the numbers; others do not."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.optimizer_study import recomputation, solutions
from shears.optimizer_study.course_notebook import POINTS
from shears.optimizer_study.recomputation import ask, draw_problem, judge
from shears.runtime.backend import tf

NAMES = ("Linear", "loss", "GD", "SGD", "AdaGrad", "Adam")


def displayed(names: dict[str, Any], problem: recomputation.Problem) -> dict[str, Any]:
    """What the cell shows in a notebook that has these names."""
    shown: dict[str, Any] = {}
    source = ask(problem).replace(
        "from IPython.display import display",
        'display = lambda data, raw: notebook["shown"].update(data)',
    )
    kept = {name: names[name] for name in NAMES if name in names}
    exec(source, {"_shears_kept": kept, "shown": shown})
    return shown


def verdicts(source: str = "", seed: int | None = None) -> dict[str, str | None]:
    """The verdicts on our own solutions, some of which are replaced."""
    names = {name: getattr(solutions, name) for name in NAMES}
    watched = tf.keras.optimizers.Optimizer, tf.compat.v1.train.Optimizer
    before = [vars(theirs).copy() for theirs in watched]
    scope = {"tf": tf, "np": np, **names}
    exec(source, scope)
    problem = draw_problem(None if seed is None else np.random.default_rng(seed))
    try:
        return judge(problem, displayed(scope, problem))
    finally:
        for theirs, kept in zip(watched, before, strict=True):
            for name in ("__init__", "apply", "apply_gradients"):
                if name in vars(theirs):
                    delattr(theirs, name)
                if name in kept:
                    setattr(theirs, name, kept[name])


def only(test: str, source: str) -> str:
    """The verdict on one test; the others must be right."""
    found = verdicts(source)
    wrong = {name: why for name, why in found.items() if why}
    assert wrong.keys() == {test}, wrong
    return wrong[test]


@pytest.mark.parametrize("seed", range(20))
def test_our_solutions_are_right_on_any_problem(seed):
    assert verdicts(seed=seed) == dict.fromkeys(POINTS)


MODEL = """
class Linear(tf.keras.Model):
    def __init__(self):
        super(Linear, self).__init__()
        self.w = tf.Variable([[5., 5.]], name='weight')
        self.b = tf.Variable(10., name='bias')

    def call(self, inputs):
        return {call}

def loss(y_true, y_pred):
    return {loss}
"""


@pytest.mark.parametrize(
    ("call", "loss"),
    [
        (
            "tf.matmul(inputs, tf.transpose(self.w)) + self.b",
            "tf.reduce_mean(tf.square(y_true - y_pred))",
        ),
        (
            "tf.reduce_sum(inputs * self.w, axis=1) + self.b",
            "tf.reduce_mean((y_pred - y_true) ** 2, axis=-1)",
        ),
        (
            "tf.linalg.matvec(inputs, self.w[0])[:, None] + self.b",
            "tf.keras.losses.MeanSquaredError()(y_true, y_pred)",
        ),
        ("inputs @ tf.reshape(self.w, (2, 1)) + self.b", "np.mean((y_true-y_pred)**2)"),
        (
            "tf.reduce_sum(inputs * self.w, 1) + self.b",
            "tf.reduce_mean(tf.square(tf.reshape(y_true, [-1]) - y_pred))",
        ),
        (
            "tf.matmul(self.w, tf.transpose(inputs)) + self.b",
            "tf.reduce_mean(tf.square(tf.transpose(y_true) - y_pred))",
        ),
    ],
)
def test_models_of_usual_styles_are_right(call, loss):
    found = verdicts(MODEL.format(call=call, loss=loss))
    assert found["test_LR_MSE"] is None


OPTIMIZER = """
class {name}(object):
    def __init__(self, lr=0.01, beta1=0.9, beta2=0.999, epsilon=1e-7):
        self.lr, self.beta1, self.beta2, self.epsilon = lr, beta1, beta2, epsilon
        self.G = [0.1, 0.1]
        self.m, self.v, self.t = [0., 0.], [0., 0.], 0

    def calculate_gradient(self, X, y, model):
        {draw}
        with tf.GradientTape() as tape:
            error = tf.matmul(X, tf.transpose(model.w)) + model.b - y
            current = tf.reduce_mean(error ** 2)
        dw, db = tape.gradient(current, [model.w, model.b])
        return {returned}

    def apply_gradient(self, grads, model):
        {unpack}
        {apply}
"""
DRAWS = {
    "numpy": "i = np.random.randint(len(X)); X, y = X[i:i + 1], y[i:i + 1]",
    "tensorflow": "i = tf.random.uniform([1], 0, 2000, tf.int32); "
    "X, y = tf.gather(X, i), tf.gather(y, i)",
    "in order": "i = self.__dict__.setdefault('i', 0); self.i += 1; "
    "X, y = X[i:i + 1], y[i:i + 1]",
    "of the course's size": "i = np.random.randint(0, 2000); "
    "X, y = tf.reshape(X[i], [1, 2]), tf.reshape(y[i], [1, 1])",
}
RETURNS = {
    "(dw, db)": "dw, db = grads",
    "[db, dw]": "db, dw = grads",
    "{'w': dw, 'b': db}": "dw, db = grads['w'], grads['b']",
    "(dw.numpy(), float(db))": "dw, db = grads",
    "zip([dw, db], [model.w, model.b])": "dw, db = (g for g, _ in grads)",
    "list(zip([dw, db], [model.w, model.b]))": "(dw, _), (db, _) = grads",
    "tf.concat([tf.reshape(dw, [-1]), [db]], 0)": "dw, db = grads[None, :2], grads[2]",
}
STEP = "model.w.assign_sub(self.lr * dw); model.b.assign_sub(self.lr * db)"
ADAGRAD = """\
for k, (p, g) in enumerate([(model.w, dw), (model.b, db)]):
            self.G[k] = self.G[k] + g ** 2
            p.assign(p - self.lr * g / {root})"""
ADAM = """\
self.t += 1
        for k, (p, g) in enumerate([(model.w, dw), (model.b, db)]):
            self.m[k] = self.beta1 * self.m[k] + (1 - self.beta1) * g
            self.v[k] = self.beta2 * self.v[k] + (1 - self.beta2) * g ** 2
            {step}"""
HATS = """\
m = self.m[k] / (1 - self.beta1 ** self.t)
            v = self.v[k] / (1 - self.beta2 ** self.t)
            p.assign_sub(self.lr * m / {root})"""
RATE = """\
rate = self.lr * np.sqrt(1 - self.beta2 ** self.t) / (1 - self.beta1 ** self.t)
            p.assign_sub(rate * self.m[k] / (tf.sqrt(self.v[k]) + self.epsilon))"""


def optimizer(name, apply=STEP, draw="pass", returned="(dw, db)") -> str:
    return OPTIMIZER.format(
        name=name, draw=draw, returned=returned, unpack=RETURNS[returned], apply=apply
    )


@pytest.mark.parametrize("returned", RETURNS)
@pytest.mark.parametrize("draw", DRAWS)
def test_gradients_of_usual_styles_are_right(draw, returned):
    source = optimizer("GD", returned=returned)
    source += optimizer("SGD", draw=DRAWS[draw], returned=returned)
    adam = ADAM.format(step=RATE)
    source += optimizer("Adam", adam, DRAWS[draw], returned)
    assert verdicts(source) == dict.fromkeys(POINTS)


@pytest.mark.parametrize(
    ("name", "apply"),
    [
        ("AdaGrad", ADAGRAD.format(root="tf.sqrt(self.G[k] + self.epsilon)")),
        ("AdaGrad", ADAGRAD.format(root="(tf.sqrt(self.G[k]) + self.epsilon)")),
        ("Adam", ADAM.format(step=RATE)),
        ("Adam", ADAM.format(step=HATS.format(root="(tf.sqrt(v) + self.epsilon)"))),
        ("Adam", ADAM.format(step=HATS.format(root="tf.sqrt(v + self.epsilon)"))),
    ],
)
def test_updates_of_usual_styles_are_right(name, apply):
    for draw in ("pass", DRAWS["numpy"]):  # of all samples, or one
        assert verdicts(optimizer(name, apply, draw)) == dict.fromkeys(POINTS)


BIASED = ADAM.format(
    step="p.assign_sub(self.lr * self.m[k] / (tf.sqrt(self.v[k]) + self.epsilon))"
)


@pytest.mark.parametrize(
    ("test", "source", "message"),
    [
        (
            "GD",
            optimizer("GD", STEP.replace("lr", "lr / 2")),
            "update 1 is not lr times",
        ),
        ("GD", optimizer("GD", draw=DRAWS["numpy"]), "the gradient over all samples"),
        (
            "SGD",
            optimizer("SGD"),
            "update 1 is not lr times the gradient of one sample",
        ),
        ("AdaGrad", optimizer("AdaGrad"), "update 1 is not AdaGrad's"),
        ("Adam", optimizer("Adam", BIASED), "is the bias of both averages corrected?"),
        (
            "Adam",
            optimizer("Adam", ADAM.format(step=RATE), "X = X[:32]; y = y[:32]"),
            "calculate_gradient does not return the loss' gradient of one sample, or",
        ),
        (
            "AdaGrad",
            "class AdaGrad:\n  def __init__(self, lr): pass\n"
            "  calculate_gradient = apply_gradient = lambda *_: None",
            "calculate_gradient does not return the gradients by w",
        ),
        ("SGD", "class SGD: pass", "it raised TypeError: "),
        ("Adam", "del Adam", "it raised KeyError: 'Adam'"),
        (
            "GD",
            optimizer(
                "GD",
                "tf.keras.optimizers.SGD(self.lr).apply([dw, db], [model.w, model.b])",
            ),
            "it used one of TensorFlow's own optimizers",
        ),
        (
            "Adam",
            optimizer(
                "Adam",
                "self.o = getattr(self, 'o', None) or tf.compat.v1.train.AdamOptimizer("
                "self.lr); self.o.apply_gradients([(dw, model.w), (db, model.b)])",
            ),
            "it used one of TensorFlow's own optimizers",
        ),
        (
            "LR_MSE",
            "def loss(a, b): return tf.reduce_mean(tf.abs(a - b))",
            "loss is not",
        ),
        ("LR_MSE", "def loss(a, b): return 'text'", "it raised ValueError"),
    ],
)
def test_a_wrong_solution_is_described_without_what_is_right(test, source, message):
    why = only(f"test_{test}", source)
    assert why.startswith("on fresh data, ") and message in why
    assert not re.search(r"\d\.\d", why)


def test_a_model_that_always_says_the_same_is_wrong():
    source = MODEL.format(call="tf.constant([[25.]])", loss="tf.constant(484.)")
    assert "one prediction for each sample" in verdicts(source)["test_LR_MSE"]


def test_a_recorded_answer_is_wrong_for_another_problem():
    names = {name: getattr(solutions, name) for name in NAMES}
    problem = draw_problem()
    answer = displayed(names, problem)
    assert judge(problem, answer) == dict.fromkeys(POINTS)
    assert all(judge(draw_problem(), answer).values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        **{name: JSON for name in ("path", "gradients", "predictions", "loss")},
        "banned": st.just(0),
        "error": JSON,
    },
)
PROBLEM = draw_problem()


@given(JSON | st.dictionaries(st.sampled_from(list(POINTS)), ANSWERS | JSON))
def test_whatever_is_sent_gives_no_points_and_no_exception(answer):
    for data in (answer, json.dumps(answer)):
        found = judge(PROBLEM, {recomputation.MIME: data})
        assert all(why and why.isprintable() for why in found.values())


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 300_000, "{", "9" * 5000, "\0"])
def test_a_text_that_is_no_answer_gives_no_points(text):
    assert all(judge(PROBLEM, {recomputation.MIME: text}).values())


def test_huge_numbers_give_no_points():
    huge = {"path": [[1e308] * 3] * 7, "gradients": [[[1e308] * 3]] * 6, "banned": 0}
    for large in (huge, {**huge, "path": [[10**400] * 3] * 7}):
        for updates in (4, 5, 6):
            part = {
                "path": large["path"][: updates + 1],
                "gradients": large["gradients"][:updates],
                "banned": 0,
            }
            text = json.dumps(dict.fromkeys(POINTS, part))
            assert all(judge(PROBLEM, {recomputation.MIME: text}).values())
