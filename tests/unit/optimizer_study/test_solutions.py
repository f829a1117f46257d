"""The classes, against the numbers that the course's tests ask for."""

import numpy as np
import pytest

from shears.optimizer_study.optimizers import adagrad, adam
from shears.optimizer_study.solutions import GD, SGD, AdaGrad, Adam, Linear, loss
from shears.runtime.backend import tf


@pytest.fixture(scope="module")
def samples():
    tf.random.set_seed(10605)
    X = tf.random.normal((2000, 2))
    noise = tf.random.normal((2000, 1))
    return X, 4 * X[:, :1] + 3 * X[:, 1:] + 2 + noise


def train(optimizer, samples, updates=300):
    X, y = samples
    model = Linear()
    for _ in range(updates):
        optimizer.apply_gradient(optimizer.calculate_gradient(X, y, model), model)
    return model


@pytest.mark.parametrize(
    "inputs", [[[1.0, 2.0]], [1, 2], np.array([[1, 2]]), tf.constant([[1.0, 2.0]])]
)
def test_the_model_and_its_loss_are_exact(inputs):
    prediction = Linear().call(inputs)
    assert prediction.numpy().reshape(-1).tolist() == [25.0]
    assert loss(3, prediction).numpy() == 484.0
    assert loss(3.0, 25.0).numpy() == 484.0
    assert loss([[1.0], [2.0]], tf.constant([[2.0], [4.0]])).numpy() == 2.5


@pytest.mark.parametrize(
    ("make", "expected", "tolerance"),
    [
        (GD, 0.969, 0.001),
        (SGD, 1.0, 0.05),
        (lambda: AdaGrad(lr=0.1), 29, 2),
        (lambda: Adam(lr=0.1), 1.0, 0.4),
    ],
    ids=["GD", "SGD", "AdaGrad", "Adam"],
)
def test_the_final_losses_are_those_asked_for_in_any_random_state(
    samples, make, expected, tolerance
):
    X, y = samples
    losses = set()
    for state in (None, 1, 2):
        tf.random.set_seed(state or 0)
        losses.add(float(loss(y, train(make(), samples).call(X))))
    assert len(losses) == 1
    assert losses.pop() == pytest.approx(expected, abs=tolerance)


def test_the_gradient_is_that_of_all_samples_or_of_one(samples):
    X, y = samples
    model = Linear()
    by_w, by_b = GD().calculate_gradient(X, y, model)
    error = model.call(X) - y
    np.testing.assert_allclose(by_b, 2 * tf.reduce_mean(error), rtol=1e-5)
    np.testing.assert_allclose(
        by_w, 2 * tf.reduce_mean(error * X, axis=0)[None], rtol=1e-5
    )
    assert by_w.shape == (1, 2) and by_b.shape == ()

    one_by_one = 2 * (error * tf.concat([X, tf.ones_like(error)], 1)).numpy()
    optimizer, rows = SGD(), set()
    for _ in range(100):
        by_w, by_b = optimizer.calculate_gradient(X, y, model)
        gradient = np.append(by_w, by_b)
        distances = np.abs(one_by_one - gradient).max(1)
        assert distances.min() < 1e-3
        rows.add(int(distances.argmin()))
    assert len(rows) > 90  # of 2,000, drawn with replacement


@pytest.mark.parametrize(
    ("make", "update"),
    [
        (lambda: AdaGrad(lr=0.1, epsilon=0.01), adagrad(0.1, epsilon=0.01)),
        (
            lambda: Adam(lr=0.1, beta1=0.5, beta2=0.75, epsilon=0.01),
            adam(0.1, 0.5, 0.75, 0.01),
        ),
    ],
    ids=["AdaGrad", "Adam"],
)
def test_the_classes_do_what_the_functions_do(make, update):
    model, optimizer = Linear(), make()
    values = [tf.identity(model.w), tf.identity(model.b)]
    state = update.init(values)
    for factor in (1.0, -2.0, 0.5):
        grads = (tf.constant([[factor, 2.0]]), tf.constant(factor))
        optimizer.apply_gradient(grads, model)
        values, state = update.update(list(grads), state, values)
        np.testing.assert_array_equal(model.w, values[0])
        np.testing.assert_array_equal(model.b, values[1])


def test_what_an_optimizer_remembers_may_be_a_number_or_a_pair():
    results = []
    for memory in (0.1, [0.1, 0.1], (tf.fill((1, 2), 0.1), tf.Variable(0.1))):
        model, optimizer = Linear(), AdaGrad(lr=0.1)
        optimizer.accumulator = memory
        optimizer.apply_gradient((tf.ones((1, 2)), tf.ones(())), model)
        results.append((model.w.numpy().tolist(), float(model.b)))
    assert results[0] == results[1] == results[2]
