import numpy as np
import pytest

from shears.runtime.backend import tf
from shears.training.losses import cross_entropy, distillation_loss

RNG = np.random.default_rng(0)
LOGITS, TEACHER = RNG.normal(size=(2, 6, 10)).astype(np.float32)
LABELS = np.arange(6, dtype=np.int32)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_by_hand(smoothing):
    targets = np.eye(10)[LABELS] * (1 - smoothing) + smoothing / 10
    expected = -(targets * log_softmax(LOGITS)).sum(1)
    losses = cross_entropy(LABELS, tf.constant(LOGITS), smoothing)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_distillation_by_hand():
    hard = np.linspace(0, 1, 6, dtype=np.float32)
    soft = np.exp(log_softmax(TEACHER / 4))
    expected = -0.7 * 16 * (soft * log_softmax(LOGITS / 4)).sum(1) + 0.3 * hard
    losses = distillation_loss(
        tf.constant(LOGITS),
        tf.constant(TEACHER),
        tf.constant(hard),
        distillation=0.7,
        temperature=4.0,
    )
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_the_gradient_of_soft_targets_keeps_its_size_at_high_temperatures():
    """Hinton et al. 2015, section 2.1: in the limit, logits are matched."""
    centred = [x - x.mean(1, keepdims=True) for x in (LOGITS, TEACHER)]
    logits = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        loss = distillation_loss(
            logits,
            tf.constant(TEACHER),
            tf.zeros(6),
            distillation=1.0,
            temperature=300.0,
        )
    expected = (centred[0] - centred[1]) / 10
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=2e-2)
