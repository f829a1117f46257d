"""Training and fine-tuning: one compiled step over data that is resident in memory."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from shears import architecture, network, schedules
from shears.backend import tf
from shears.checkpoint import Checkpoint, State
from shears.dataset import Split
from shears.errors import UserError

log = logging.getLogger(__name__)

EVALUATION_BATCH = 1000
STATE = ("vector", "mask", "first", "second")  # the variables of a `Step` that last


@dataclass(frozen=True)
class Recipe:
    """How weights are trained; config.yaml says what each field means."""

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    warmup_epochs: float
    beta_1: float
    beta_2: float
    epsilon: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    dropout: tuple[float, float, float]
    flip: bool
    crop: int

    def __post_init__(self) -> None:
        """Makes whole numbers floats where fractions are meant: TensorFlow minds."""
        for field in fields(self):
            if field.type is float:
                object.__setattr__(self, field.name, float(getattr(self, field.name)))


class Step:
    """The weights, the optimizer's state and the compiled update.

    Every random number comes from the seed and a counter of steps, none from a stream.
    """

    def __init__(
        self,
        weights: Sequence[np.ndarray],
        data: Split,
        recipe: Recipe,
        *,
        precision: str,
        seed: int,
    ):
        """Puts weights and data where the step runs.

        Args:
            weights: The twelve arrays to start from, float32.
            data: Training images (N, 32, 32, 3) uint8 and labels (N,).
            recipe: How to train.
            precision: "float32" or "bfloat16"; the last layer and the update are
                float32 in both.
            seed: Seed of augmentation and dropout.
        """
        self.recipe, self.seed = recipe, seed
        self.dtype = tf.as_dtype(precision)
        self.vector = tf.Variable(architecture.flatten(weights))
        self.mask = tf.Variable(tf.ones_like(self.vector))
        self.first = tf.Variable(tf.zeros_like(self.vector))  # Adam's m, momentum
        self.second = tf.Variable(tf.zeros_like(self.vector))  # Adam's v
        self.sums = tf.Variable(tf.zeros(2))  # loss, correct answers
        pad = recipe.crop
        border = ((0, 0), (pad, pad), (pad, pad), (0, 0))
        padded = np.pad(data.images, border, mode="reflect")
        self.side = padded.shape[1]
        self.pixels = tf.constant(padded.reshape(-1, 3))
        self.labels = tf.constant(data.labels.astype(np.int32))

    def state(self) -> dict[str, np.ndarray]:
        """Copies what the next steps depend on, by name; each (PARAMETERS,).

        Random numbers come from the seed and the step's number, so they have no state.
        """
        return {name: getattr(self, name).numpy() for name in STATE}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes back to a copied state."""
        for name in STATE:
            getattr(self, name).assign(arrays[name])

    def set_mask(self, mask: np.ndarray) -> None:
        """Sets the mask and the weights it cuts to zero; (PARAMETERS,) float32."""
        self.mask.assign(mask)
        self.vector.assign(self.vector * mask)

    def _augment(self, rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Gathers a batch, shifted and mirrored by chance: (B, 32, 32, 3) uint8."""
        count, pixels = tf.shape(rows)[0], tf.range(32)
        offset = tf.random.stateless_uniform(
            (2, count, 1), seed, 0, 2 * self.recipe.crop + 1, tf.int32
        )
        lines, columns = offset[0] + pixels, offset[1] + pixels  # (B, 32)
        if self.recipe.flip:
            chance = tf.random.stateless_uniform((count, 1), seed + [0, 1])
            columns = tf.where(chance < 0.5, columns, offset[1] + 31 - pixels)
        # One gather of pixels: cheaper than cutting out and mirroring image by image.
        lines = rows[:, None] * self.side + lines
        return tf.gather(self.pixels, lines[:, :, None] * self.side + columns[:, None])

    @tf.function
    def __call__(self, rows: tf.Tensor, step: tf.Tensor, rate: tf.Tensor) -> None:
        """Takes one step.

        Args:
            rows: (B,) int32, the images of the batch.
            step: int32 scalar, steps taken before.
            rate: float32 scalar, the learning rate.
        """
        recipe = self.recipe
        # Eight counters a step: 0 to 2 for dropout, 3 to shift, 4 to mirror.
        seed = tf.stack([self.seed, 8 * step])
        images = self._augment(rows, seed + [0, 3])
        images = tf.cast(images, self.dtype) / 255
        labels = tf.gather(self.labels, rows)
        smooth = recipe.label_smoothing
        targets = tf.one_hot(labels, architecture.CLASSES) * (1 - smooth)
        targets += smooth / architecture.CLASSES
        with tf.GradientTape() as tape:
            outputs = network.logits(self.vector, images, recipe.dropout, seed)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, outputs)
            loss = tf.reduce_mean(losses)
        gradient = tape.gradient(loss, self.vector)
        if recipe.weight_decay:  # decoupled (Loshchilov and Hutter 2019, algorithm 2)
            self.vector.assign(self.vector * (1 - rate * recipe.weight_decay))
        self._update(gradient, step, rate)
        self.vector.assign(self.vector * self.mask)
        correct = tf.equal(tf.argmax(outputs, 1, tf.int32), labels)
        correct = tf.reduce_mean(tf.cast(correct, tf.float32))
        self.sums.assign_add(tf.stack([loss, correct]))

    def _update(self, gradient: tf.Tensor, step: tf.Tensor, rate: tf.Tensor) -> None:
        """Applies TensorFlow's fused update: one pass over the flat vector."""
        recipe = self.recipe
        if recipe.optimizer == "sgd":
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=self.vector.handle,
                accum=self.first.handle,
                lr=rate,
                grad=gradient,
                momentum=recipe.momentum,
            )
            return
        taken = tf.cast(step + 1, tf.float32)
        # Kingma and Ba 2015, the order at the end of section 2: epsilon is their
        # epsilon-hat, as in Keras.
        tf.raw_ops.ResourceApplyAdam(
            var=self.vector.handle,
            m=self.first.handle,
            v=self.second.handle,
            beta1_power=tf.pow(recipe.beta_1, taken),
            beta2_power=tf.pow(recipe.beta_2, taken),
            lr=rate,
            beta1=recipe.beta_1,
            beta2=recipe.beta_2,
            epsilon=recipe.epsilon,
            grad=gradient,
        )

    @tf.function
    def evaluate_batch(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Sums loss and correct answers over a batch: (2,) float32."""
        images = tf.cast(images, self.dtype) / 255
        outputs = network.logits(self.vector, images)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        correct = tf.equal(tf.argmax(outputs, 1, tf.int32), labels)
        return tf.stack(
            [tf.reduce_sum(loss), tf.reduce_sum(tf.cast(correct, "float32"))]
        )

    def evaluate(self, data: Split) -> tuple[float, float]:
        """Computes mean loss and accuracy in the precision of training."""
        sums = np.zeros(2)
        for start in range(0, len(data.labels), EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            labels = data.labels[batch].astype(np.int32)
            sums += self.evaluate_batch(tf.constant(data.images[batch]), labels).numpy()
        return tuple(float(value) for value in sums / len(data.labels))


def steps_per_epoch(images: int, recipe: Recipe) -> int:
    """Counts the batches of an epoch; a last incomplete one is left out."""
    return max(1, images // recipe.batch_size)


def train(
    weights: Sequence[np.ndarray],
    training: Split,
    validation: Split,
    recipe: Recipe,
    *,
    precision: str,
    seed: int,
    zeros_by_step: Mapping[int, int] | None = None,
    make_mask: Callable[[np.ndarray, int], np.ndarray] | None = None,
    checkpoint: Checkpoint | None = None,
    tensorboard: str | Path | None = None,
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Trains and logs a line an epoch.

    Args:
        weights: The twelve arrays to start from, float32.
        training: What to train on.
        validation: What each epoch is measured on.
        recipe: How to train.
        precision: "float32" or "bfloat16".
        seed: Seed of the order of images, augmentation and dropout.
        zeros_by_step: At which steps to make a new mask, and with how many zeros.
        make_mask: Makes it, from the weights (PARAMETERS,) and the number of zeros.
            Each mask holds until the next one.
        checkpoint: Where to save the state after each epoch, and to resume from.
        tensorboard: Folder for event files, if they are wanted; made anew.

    Returns:
        The twelve trained arrays, float32, and the history, one row an epoch.

    Raises:
        UserError: The loss is not a number any more.
        OSError: The state cannot be saved.
    """
    step = Step(weights, training, recipe, precision=precision, seed=seed)
    count = len(training.labels)
    per_epoch = steps_per_epoch(count, recipe)
    steps = per_epoch * recipe.epochs
    warmup = round(recipe.warmup_epochs * per_epoch)
    history = []
    began = time.perf_counter()
    if checkpoint and (saved := checkpoint.load()):
        step.restore(saved.arrays)
        history = saved.history
        began -= history[-1]["seconds"]
        log.info("resumed after epoch %d/%d", len(history), recipe.epochs)
    writer = None
    if tensorboard:
        if not history:  # or curves of two runs overlay
            shutil.rmtree(tensorboard, ignore_errors=True)
        writer = tf.summary.create_file_writer(str(tensorboard))
    for epoch in range(len(history), recipe.epochs):
        epoch_began = time.perf_counter()
        step.sums.assign(tf.zeros(2))
        order = np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)
        for i in range(per_epoch):
            taken = epoch * per_epoch + i
            if zeros_by_step and taken in zeros_by_step:
                step.set_mask(make_mask(step.vector.numpy(), zeros_by_step[taken]))
            rate = schedules.learning_rate(
                taken,
                steps,
                peak=recipe.learning_rate,
                schedule=recipe.schedule,
                warmup=warmup,
            )
            rows = order[i * recipe.batch_size : (i + 1) * recipe.batch_size]
            step(tf.constant(rows), tf.constant(taken), tf.constant(rate))
        loss, accuracy = (float(value) for value in step.sums.numpy() / per_epoch)
        seconds = time.perf_counter() - epoch_began
        if not np.isfinite(loss):
            raise UserError(
                f"training diverged in epoch {epoch + 1} (loss {loss}): lower the "
                f"recipe's learning_rate (it is {recipe.learning_rate:g}) or give it "
                "warmup_epochs"
            )
        validation_loss, validation_accuracy = step.evaluate(validation)
        row = {
            "epoch": epoch + 1,
            "learning_rate": rate,
            "loss": loss,
            "accuracy": accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
            "sparsity": 1
            - np.count_nonzero(step.vector.numpy()) / architecture.PARAMETERS,
            "images_per_second": per_epoch * len(rows) / seconds,
            "seconds": time.perf_counter() - began,
        }
        history.append(row)
        if checkpoint:
            finished = epoch + 1 == recipe.epochs
            checkpoint.save(State(step.state(), history, finished))
        log.info("%s", progress_line(row, recipe.epochs))
        if writer:
            with writer.as_default(step=epoch + 1):
                for name, value in row.items():
                    tf.summary.scalar(name, value)
            writer.flush()
    return architecture.unflatten(step.vector.numpy()), history


def progress_line(row: Mapping[str, float], epochs: int) -> str:
    """Says in one line how training goes and how long it will still take."""
    left = row["seconds"] / row["epoch"] * (epochs - row["epoch"])
    minutes, seconds = divmod(round(left), 60)
    return (
        f"epoch {row['epoch']}/{epochs}  loss {row['loss']:.4f}  "
        f"validation accuracy {row['validation_accuracy']:.4f}  "
        f"sparsity {row['sparsity']:.4f}  {row['images_per_second']:,.0f} images/s  "
        f"{minutes}:{seconds:02d} left"
    )
