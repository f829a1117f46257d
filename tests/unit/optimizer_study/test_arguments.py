"""What an optimizer refuses, by the argument's name."""

from fractions import Fraction

import numpy as np
import pytest

from shears.optimizer_study import optimizers, regression
from shears.optimizer_study.optimizers import (
    AdamState,
    MomentumState,
    adagrad,
    adam,
    gradient_descent,
    momentum,
    rmsprop,
    stochastic_gradient_descent,
)
from shears.optimizer_study.study import measure
from shears.runtime.backend import tf

EVERY = {
    "gradient_descent": (gradient_descent, ["learning_rate"]),
    "stochastic_gradient_descent": (stochastic_gradient_descent, ["learning_rate"]),
    "momentum": (momentum, ["learning_rate", "momentum"]),
    "adagrad": (adagrad, ["learning_rate", "initial_accumulator", "epsilon"]),
    "rmsprop": (rmsprop, ["learning_rate", "rho", "epsilon"]),
    "adam": (adam, ["learning_rate", "beta_1", "beta_2", "epsilon"]),
}
SETTINGS = [(make, name) for make, names in EVERY.values() for name in names]
NO_NUMBERS = [
    None,
    "0.1",
    True,
    [0.1],
    0.1j,
    lambda: 0.1,
    Fraction(1, 10),
    np.array([0.1, 0.1]),
    np.float32,
    np.bool_(True),
    np.array("0.1"),
    tf.constant([0.1]),
    tf.constant("0.1"),
    tf.constant(True),
    10**400,
]
WITH_STATE = [name for name in EVERY if "gradient_descent" not in name]


@pytest.mark.parametrize(("make", "name"), SETTINGS)
@pytest.mark.parametrize(
    "value", NO_NUMBERS, ids=[str(n) for n in range(len(NO_NUMBERS))]
)
def test_what_is_no_number_is_refused_by_name(make, name, value):
    with pytest.raises(ValueError, match=f"^{name}: found .*, expected a number$"):
        make(**{"learning_rate": 0.1, name: value})


@pytest.mark.parametrize(("make", "name"), SETTINGS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -1])
def test_numbers_outside_a_range_are_refused_however_they_are_given(make, name, value):
    for kind in (float, np.float32, tf.constant, tf.Variable):
        with pytest.raises(ValueError, match=f"^{name}: found .*, expected "):
            make(**{"learning_rate": 0.1, name: kind(float(value))})


@pytest.mark.parametrize(
    "kind", [float, np.float64, np.array, tf.constant, tf.Variable]
)
def test_numbers_are_accepted_however_they_are_given(kind):
    for make, names in EVERY.values():
        optimizer = make(**{name: kind(0.5) for name in names})
        x = tf.constant([1.0])
        moved, _ = optimizer.update(x, optimizer.init(x), x)
        assert np.isfinite(moved.numpy()).all() and moved.numpy() < 1


def test_a_variable_is_a_setting_inside_a_graph_too():
    rate = tf.Variable(0.5)

    @tf.function
    def move(x):
        optimizer = adam(rate)
        return optimizer.update(x, optimizer.init(x), x)[0]

    assert move(tf.constant(1.0)).numpy() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "dtype", "message"),
    [
        (adagrad(0.1, epsilon=1e-8), "float16", "epsilon: found 1e-08, which is 0.0 "),
        (rmsprop(0.1, epsilon=1e-8), "float16", "epsilon: found 1e-08, which is 0.0 "),
        (adam(0.1, epsilon=1e-8), "float16", "epsilon: found 1e-08, which is 0.0 in "),
        (adam(0.1, epsilon=1e-60), "float32", "epsilon: found 1e-60, which is 0.0 in "),
        (adam(0.1, epsilon=1e9), "float16", "epsilon: found 1000000000.0, which is "),
        (adam(0.1, beta_2=0.9999), "float16", "beta_2: found 0.9999, which is 1.0 in "),
        (adam(0.1, beta_1=0.999), "bfloat16", "beta_1: found 0.999, which is 1.0 in "),
        (momentum(0.1, 0.9999), "float16", "momentum: found 0.9999, which is 1.0 in"),
        (rmsprop(0.1, rho=0.9999), "float16", "rho: found 0.9999, which is 1.0 in "),
        (adagrad(0.1, 1e6), "float16", "initial_accumulator: found 1000000.0, which "),
        (gradient_descent(1e-9), "float16", "learning_rate: found 1e-09, which is 0.0"),
    ],
)
def test_a_setting_is_checked_as_it_is_in_the_parameters_dtype(
    optimizer, dtype, message
):
    x = {"w": tf.zeros(2, tf.float64), "b": tf.zeros([], dtype)}
    right = {"w": x["w"], "b": tf.zeros([], tf.float64)}
    for call in (
        lambda: optimizer.init(x),
        lambda: optimizer.update(x, optimizer.init(right), x),
        lambda: tf.function(optimizer.init)(x),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert message in str(caught.value)  # a graph's begins with where it was
    optimizer.update(right, optimizer.init(right), right)


@pytest.mark.parametrize("value", [1e-60, 1e60])
def test_what_keras_rounds_to_float32_is_checked_in_it(value):
    with pytest.raises(ValueError, match="^learning_rate: found .*in float32"):
        gradient_descent(value)
    gradient_descent(tf.constant(value, tf.float64))  # not rounded


@pytest.mark.parametrize("name", ["adagrad", "rmsprop", "adam"])
def test_a_gradient_of_zero_moves_nothing_in_half_precision(name):
    optimizer = EVERY[name][0](0.1, epsilon=1e-7)
    x, zero = tf.ones(2, tf.float16), tf.zeros(2, tf.float16)
    assert optimizer.update(zero, optimizer.init(x), x)[0].numpy().tolist() == [1, 1]


@pytest.mark.parametrize("name", WITH_STATE)
def test_a_state_of_another_shape_dtype_or_structure_is_refused(name):
    optimizer = EVERY[name][0](0.1)
    x = tf.ones([2, 1])
    for other, message in (
        (tf.ones(2), r"number 0 is float32 \(2,\), expected float32 \(2, 1\), like "),
        (tf.ones([]), r"number 0 is float32 \(\), expected float32 \(2, 1\), like "),
        (tf.ones([2, 1], tf.float64), r"number 0 is float64 "),
        ([x], "found a different structure"),
    ):
        state = optimizer.init(other)
        field = [name for name in state._fields if name != "step"][0]
        for update in (optimizer.update, tf.function(optimizer.update)):
            with pytest.raises(ValueError, match=rf"state\.{field}: {message}"):
                update(x, state, x)


def test_a_state_that_is_another_optimizers_is_refused():
    x = tf.ones(2)
    for state in (None, (), x, MomentumState(x), momentum(0.1).init(x)):
        with pytest.raises(ValueError, match="^state: found .*, expected AdamState"):
            adam(0.1).update(x, state, x)
    with pytest.raises(ValueError, match="expected GradientDescentState"):
        gradient_descent(0.1).update(x, None, x)


@pytest.mark.parametrize(
    "step", [None, "1", True, -1, 0.5, [0], tf.zeros(2, tf.int64), tf.constant(-1)]
)
def test_a_step_that_is_no_count_is_refused(step):
    x = tf.ones(2)
    with pytest.raises(ValueError, match=r"^state\.step: found "):
        adam(0.1).update(x, AdamState(step, x, x), x)
    adam(0.1).update(x, AdamState(0, x, x), x)


def test_parameters_that_are_no_tensors_are_refused():
    for make, _ in EVERY.values():
        for value, found in ((None, "None"), ("a", "string"), (object(), "object")):
            with pytest.raises(ValueError, match=f"^parameters: found {found}"):
                make(0.1).init(value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "nadam"}, "optimizer: found nadam, expected gradient_descent, "),
        ({"implementation": "torch"}, "implementation: found torch, expected ours, "),
        ({"learning_rates": [0.1, 0]}, "learning_rate: found 0.0, expected more than"),
        ({"learning_rates": ["0.1"]}, "learning_rate: found '0.1', expected a number"),
        ({"learning_rates": [1e-60]}, "learning_rate: found 1e-60, which is 0.0 in "),
        ({"learning_rates": []}, "found 0 learning_rates"),
        ({"updates": 0}, "found 1 learning_rates and 0 updates"),
    ],
)
def test_the_study_names_a_wrong_argument(changes, message):
    arguments = {"optimizer": "adam", "implementation": "ours"}
    arguments |= {"learning_rates": [0.1], "updates": 10}
    with pytest.raises(ValueError) as caught:
        measure(regression.conditioned(1), **(arguments | changes))
    assert str(caught.value).startswith(message)


def test_every_optimizer_is_tested():
    public = {
        name
        for name, value in vars(optimizers).items()
        if getattr(value, "__annotations__", {}).get("return") is optimizers.Optimizer
    }
    assert public == EVERY.keys()
