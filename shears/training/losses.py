"""The training losses: cross-entropy with label smoothing, and distillation."""

from shears.model.architecture import CLASSES
from shears.runtime.backend import tf


def cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float
) -> tf.Tensor:
    """Computes the cross-entropy of smoothed labels (Szegedy et al. 2016, section 7).

    Args:
        labels: (B,) int32 classes.
        logits: (B, 10) float32.
        label_smoothing: Fraction of the target that is spread over all classes.

    Returns:
        (B,) float32.
    """
    targets = tf.one_hot(labels, CLASSES)
    targets *= 1 - label_smoothing
    targets += label_smoothing / CLASSES
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def distillation_loss(
    logits: tf.Tensor,
    teacher_logits: tf.Tensor,
    hard_loss: tf.Tensor,
    *,
    distillation: float | tf.Tensor,
    temperature: float,
) -> tf.Tensor:
    """Computes the weighted sum of the losses on soft targets and on labels.

    The factor temperature^2 preserves the size of the soft targets' gradient (Hinton et
    al. 2015, section 2).

    Args:
        logits: (B, 10) float32, the student's.
        teacher_logits: (B, 10), any floating dtype.
        hard_loss: (B,) float32, the loss on the labels.
        distillation: Weight of the soft targets, or (B,) float32 one for each image;
            the labels get the rest.
        temperature: Divisor of both logits.

    Returns:
        (B,) float32.
    """
    soft_targets = tf.nn.softmax(tf.cast(teacher_logits, tf.float32) / temperature)
    soft_loss = tf.nn.softmax_cross_entropy_with_logits(
        soft_targets, logits / temperature
    )
    soft_loss = distillation * temperature**2 * soft_loss
    return soft_loss + (1 - distillation) * hard_loss
