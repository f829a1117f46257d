"""Three layers: a step by hand and a golden trajectory; convergence; Keras' results."""

import ast
import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.optimizer_study import optimizers, regression
from shears.optimizer_study.course_notebook import banned_names
from shears.optimizer_study.optimizers import (
    adagrad,
    adam,
    gradient_descent,
    momentum,
    rmsprop,
    stochastic_gradient_descent,
)
from shears.optimizer_study.study import (
    IMPLEMENTATIONS,
    METHODS,
    compile_run,
    sample_order,
)
from shears.runtime.backend import tf
from tests import ROOT

EVERY = {
    "gradient_descent": gradient_descent,
    "stochastic_gradient_descent": stochastic_gradient_descent,
    "momentum": momentum,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
}


def run(optimizer, x, gradients):
    """Makes one update per gradient and returns x after each."""
    x = tf.constant(x, tf.float64)
    state, path = optimizer.init(x), []
    for gradient in gradients:
        x, state = optimizer.update(tf.constant(gradient, tf.float64), state, x)
        path.append(float(x))
    return path


# First layer: by hand.


def test_the_examples_in_the_docstrings_hold():
    results = doctest.testmod(optimizers, extraglobs={"tf": tf})
    assert results.attempted > 15
    assert results.failed == 0


def test_steps_by_hand():
    # Gradient 4, then 3, from 1.
    assert run(gradient_descent(0.1), 1.0, [4, 3]) == pytest.approx([0.6, 0.3])
    # v = -0.4, then 0.5 * -0.4 - 0.3 = -0.5.
    assert run(momentum(0.1, 0.5), 1.0, [4, 3]) == pytest.approx([0.6, 0.1])
    # G = 16, then 25: steps of 0.1 * 4 / 4 and 0.1 * 3 / 5.
    rule = adagrad(0.1, initial_accumulator=0.0, epsilon=1e-12)
    assert run(rule, 1.0, [4, 3]) == pytest.approx([0.9, 0.84])
    # nu = 0.5 * 16 = 8, then 4 + 4.5 = 8.5.
    expected = [1 - 0.4 / 8**0.5, 1 - 0.4 / 8**0.5 - 0.3 / 8.5**0.5]
    rule = rmsprop(0.1, rho=0.5, epsilon=1e-12)
    assert run(rule, 1.0, [4, 3]) == pytest.approx(expected)
    # Without bias mu = 4, then (0.25 * 4 + 0.5 * 3) / 0.75 = 10 / 3; nu likewise.
    expected = [0.9, 0.9 - 0.1 * (10 / 3) / ((0.25 * 16 + 0.5 * 9) / 0.75) ** 0.5]
    rule = adam(0.1, beta_1=0.5, beta_2=0.5, epsilon=1e-12)
    assert run(rule, 1.0, [4, 3]) == pytest.approx(expected)


def test_the_places_of_the_epsilons():
    """After the root in Adam, inside it in AdaGrad and RMSProp."""
    rule = adagrad(1.0, initial_accumulator=0.0, epsilon=9.0)
    assert run(rule, 0.0, [4]) == pytest.approx([-4 / 5])
    assert run(rmsprop(1.0, rho=0.0, epsilon=9.0), 0.0, [4]) == pytest.approx([-4 / 5])
    rule = adam(1.0, beta_1=0.0, beta_2=0.75, epsilon=6.0)
    assert run(rule, 0.0, [4]) == pytest.approx([-(0.25**0.5) * 4 / (2 + 6)])


GOLDEN = {  # ten updates on x^2 from 1, in NumPy by the papers' equations
    "adagrad": (adagrad(0.5), lambda: golden_adagrad(0.5)),
    "adam": (adam(0.1), lambda: golden_adam(0.1)),
}


def golden_adagrad(rate, x=1.0, total=0.1):
    for _ in range(10):
        total += (2 * x) ** 2
        x -= rate * 2 * x / np.sqrt(total + 1e-7)
        yield x


def golden_adam(rate, x=1.0, mu=0.0, nu=0.0):
    """Algorithm 1 of Kingma and Ba, with its own epsilon."""
    for t in range(1, 11):
        mu = 0.9 * mu + 0.1 * 2 * x
        nu = 0.999 * nu + 0.001 * (2 * x) ** 2
        epsilon = 1e-7 / np.sqrt(1 - 0.999**t)
        x -= rate * (mu / (1 - 0.9**t)) / (np.sqrt(nu / (1 - 0.999**t)) + epsilon)
        yield x


@pytest.mark.parametrize("name", GOLDEN)
def test_a_trajectory_follows_the_papers_equations(name):
    optimizer, golden = GOLDEN[name]
    x = tf.constant(1.0, tf.float64)
    state = optimizer.init(x)
    for expected in golden():
        x, state = optimizer.update(2 * x, state, x)
        # A float32 beta_2 changes the bias correction of the first steps by 1e-5.
        assert float(x) == pytest.approx(expected, rel=1e-4)


def test_settings_given_as_float64_tensors_are_exact():
    exact = {n: tf.constant(v, tf.float64) for n, v in (("b1", 0.9), ("b2", 0.999))}
    rules = {
        "adagrad": adagrad(tf.constant(0.5, tf.float64), tf.constant(0.1, tf.float64)),
        "adam": adam(tf.constant(0.1, tf.float64), exact["b1"], exact["b2"]),
    }
    for name, optimizer in rules.items():
        x = tf.constant(1.0, tf.float64)
        state = optimizer.init(x)
        for expected in GOLDEN[name][1]():
            x, state = optimizer.update(2 * x, state, x)
            assert float(x) == pytest.approx(expected, rel=1e-12)


# Second layer: convergence.


def descend(optimizer, function, start, updates):
    @tf.function(autograph=False)
    def all_updates(x):
        def step(i, x, state):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            return (i + 1, *optimizer.update(tape.gradient(value, x), state, x))

        started = (tf.constant(0), x, optimizer.init(x))
        return tf.while_loop(lambda i, *_: i < updates, step, started)[1]

    return all_updates(tf.constant(start, tf.float64)).numpy()


@pytest.mark.parametrize(
    ("optimizer", "updates"),
    [
        (gradient_descent(0.04), 400),
        (momentum(0.01), 400),
        (adagrad(1.0), 400),
        (rmsprop(0.003), 1500),
        (adam(0.1), 400),
    ],
)
def test_a_parabola_is_descended(optimizer, updates):
    end = descend(
        optimizer, lambda x: x[0] ** 2 + 20 * (x[1] - 1) ** 2, [3.0, -1.0], updates
    )
    assert end == pytest.approx([0, 1], abs=0.01)


@pytest.mark.parametrize(
    ("optimizer", "updates"),
    [
        (gradient_descent(0.0015), 20_000),
        (momentum(0.0005), 10_000),
        (adagrad(0.5), 20_000),
        (adam(0.02), 5_000),
    ],
)
def test_rosenbrocks_valley_is_followed(optimizer, updates):
    end = descend(
        optimizer,
        lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2,
        [-1.2, 1.0],
        updates,
    )
    assert end == pytest.approx([1, 1], abs=0.02)


# Third layer: the same as Keras'.

SAFE_RATES = {"gradient_descent": 0.02, "sgd": 0.001, "adagrad": 0.5, "adam": 0.01}


@pytest.mark.slow
@pytest.mark.parametrize("data_set", regression.DATA_SETS)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-5), ("float64", 1e-12)])
def test_a_thousand_updates_agree_with_keras(data_set, name, dtype, most):
    problem = regression.DATA_SETS[data_set]()
    method, updates = METHODS[name], 1000
    rate = SAFE_RATES[name]
    if (data_set, name) == ("sparse", "gradient_descent"):
        rate /= 4  # its limit is lower
    order = sample_order(len(problem.targets), updates)
    curves = {}
    for implementation, make in IMPLEMENTATIONS.items():
        optimizer = make(method, problem.features.shape[1], tf.as_dtype(dtype))
        ends = np.array([1, 10, 100, updates], np.int32)
        optimizer.reset(rate)
        run = compile_run(optimizer, problem, method.samples[-1], ends, order)
        curves[implementation] = run()[0].numpy()
    assert curves["ours"].dtype == dtype
    assert np.all(np.isfinite(curves["ours"]))
    assert np.ptp(curves["ours"], axis=0).max() > 0.01  # the parameters have moved
    for ours, keras in zip(curves["ours"], curves["keras"], strict=True):
        assert np.linalg.norm(ours - keras) / np.linalg.norm(keras) < most


@pytest.mark.parametrize("name", ["momentum", "rmsprop"])
def test_adams_halves_agree_with_keras_too(name):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=5), tf.float64)
    variable = tf.Variable(x)
    if name == "momentum":
        ours, keras = momentum(0.01), tf.keras.optimizers.SGD(0.01, momentum=0.9)
    else:
        ours, keras = rmsprop(0.01), tf.keras.optimizers.RMSprop(0.01)
    state = ours.init(x)
    for _ in range(50):
        gradient = tf.constant(rng.normal(size=5))
        x, state = ours.update(gradient, state, x)
        keras.apply([gradient], [variable])
    assert x.numpy() == pytest.approx(variable.numpy(), rel=1e-12)


# What holds for each of them.

shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
trees = st.recursive(
    shapes,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text("ab", min_size=1), inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)


def fill(tree, dtype, rng):
    """Puts tensors where the tree has shapes."""
    if isinstance(tree, dict):
        return {name: fill(item, dtype, rng) for name, item in tree.items()}
    if isinstance(tree, tuple) and all(isinstance(item, int) for item in tree):
        return tf.constant(rng.normal(size=tree), dtype)
    return type(tree)(fill(item, dtype, rng) for item in tree)


@settings(max_examples=60, deadline=None)
@given(
    tree=trees,
    name=st.sampled_from(list(EVERY)),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_structure_shape_and_dtype_are_kept_and_nothing_changes_in_place(
    tree, name, dtype, seed
):
    rng = np.random.default_rng(seed)
    parameters, gradients = fill(tree, dtype, rng), fill(tree, dtype, rng)
    before = [leaf.numpy().copy() for leaf in tf.nest.flatten(parameters)]
    optimizer = EVERY[name](0.5)
    state = optimizer.init(parameters)
    after, state_after = optimizer.update(gradients, state, parameters)
    tf.nest.assert_same_structure(parameters, after)
    tf.nest.assert_same_structure(state, state_after)
    pairs = zip(tf.nest.flatten(parameters), tf.nest.flatten(after), strict=True)
    for old, new in pairs:
        assert (new.shape, new.dtype) == (old.shape, old.dtype)
        # The first step moves every parameter.
        assert not new.shape.num_elements() or not np.array_equal(new, old)
    for old, leaf in zip(before, tf.nest.flatten(parameters), strict=True):
        assert np.array_equal(old, leaf)
    again, _ = optimizer.update(gradients, state, parameters)
    for one, other in zip(tf.nest.flatten(after), tf.nest.flatten(again), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", EVERY)
def test_compiled_and_eager_updates_agree(name):
    optimizer = EVERY[name](0.1)
    x = {"w": tf.constant([1.0, -2.0], tf.float64), "b": tf.constant(0.5, tf.float64)}
    gradients = {"w": tf.constant([0.3, 4.0], tf.float64), "b": x["b"]}
    state = optimizer.init(x)
    plain, _ = optimizer.update(gradients, state, x)
    for compiled in (False, True):
        update = tf.function(optimizer.update, jit_compile=compiled)
        moved, _ = update(gradients, state, x)
        for key in x:
            assert moved[key].numpy() == pytest.approx(plain[key].numpy(), rel=1e-14)


# Bad input.

nan = float("nan")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *[
            (lambda make=make, rate=rate: make(rate), "learning_rate: found ")
            for make in EVERY.values()
            for rate in (0, -0.1, nan, float("inf"))
        ],
        (lambda: adam(0.1, beta_1=1.0), "beta_1: found 1.0, expected at least 0 and"),
        (lambda: adam(0.1, beta_1=-0.1), "beta_1: found -0.1"),
        (lambda: adam(0.1, beta_2=1.5), "beta_2: found 1.5"),
        (lambda: adam(0.1, beta_2=nan), "beta_2: found nan"),
        (lambda: adam(0.1, epsilon=0), "epsilon: found 0.0, expected more than 0"),
        (lambda: momentum(0.1, momentum=1), "momentum: found 1.0"),
        (lambda: rmsprop(0.1, rho=2), "rho: found 2.0"),
        (lambda: rmsprop(0.1, epsilon=-1), "epsilon: found -1.0"),
        (lambda: adagrad(0.1, initial_accumulator=-1), "initial_accumulator: found -1"),
        (lambda: adagrad(0.1, epsilon=0), "epsilon: found 0.0"),
    ],
)
def test_bad_settings_are_refused_by_name(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"w": [1.0, 2.0]}, "gradients: found a different structure"),
        ([[1.0, 2.0], 3.0], "gradients: found a different structure"),
        ({"w": np.zeros(3, "f"), "b": 1.0}, "gradients: number 1 is float32 (3,)"),
        ({"w": np.zeros(2, "f"), "b": None}, "gradients: found None"),
        ({"w": np.zeros(2, int), "b": 1.0}, "gradients: found int64, expected a"),
        ({"w": np.zeros(2, "f"), "b": np.zeros([])}, "gradients: number 0 is float64"),
    ],
)
def test_gradients_that_do_not_match_are_refused(name, gradients, message):
    optimizer = EVERY[name](0.1)
    parameters = {"w": tf.zeros(2), "b": tf.zeros([])}
    state = optimizer.init(parameters)
    with pytest.raises(ValueError) as caught:
        optimizer.update(gradients, state, parameters)
    assert str(caught.value).startswith(message)
    with pytest.raises(ValueError, match="parameters: found int32"):
        optimizer.init(tf.constant([1, 2]))


# The assignment's prohibition.


def test_our_optimizers_use_none_of_tensorflows():
    source = (ROOT / "shears/optimizer_study/optimizers.py").read_text(encoding="utf-8")
    assert banned_names(source) == set()
    assert "keras" not in {
        node.attr for node in ast.walk(ast.parse(source)) if hasattr(node, "attr")
    }
