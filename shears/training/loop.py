"""Training and fine-tuning: epochs of steps, masks on the way, a state to resume."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from shears.data.dataset import Split
from shears.model import batch_norm, input_normalisation
from shears.model import forward as network
from shears.model.parameters import flatten, unflatten
from shears.pruning.folded_masks import folded_masks
from shears.pruning.schedule import MakeMask, MaskUpdate
from shears.runtime.backend import tf
from shears.runtime.errors import UserError
from shears.training.checkpoint import Checkpoint, State
from shears.training.learning_rate import learning_rate
from shears.training.recipe import Recipe
from shears.training.soft_targets import Lessons
from shears.training.trainer import Forward, Step

log = logging.getLogger(__name__)


def steps_per_epoch(images: int, recipe: Recipe) -> int:
    """Counts the batches of an epoch; a last incomplete one is left out."""
    return max(1, images // recipe.batch_size)


def train(
    vector: np.ndarray,
    training: Split,
    validation: Split,
    recipe: Recipe,
    *,
    precision: str,
    seed: int,
    forward: Forward,
    leave: Callable[[np.ndarray], np.ndarray] | None = None,
    lessons: Lessons | None = None,
    mask_updates: Mapping[int, MaskUpdate] | None = None,
    make_mask: MakeMask | None = None,
    checkpoint: Checkpoint | None = None,
    tensorboard: str | Path | None = None,
) -> tuple[np.ndarray, list[dict[str, float]]]:
    """Trains and logs a line an epoch.

    Args:
        vector: (W,) float32, the weights to start from.
        training: What to train on.
        validation: What each epoch is measured on.
        recipe: How to train.
        precision: "float32" or "bfloat16".
        seed: Seed of the order of images, augmentation and dropout.
        forward: The network.
        leave: Turns what is trained into the weights of the fixed network, which are
            measured and given back then.
        lessons: A teacher's answers to learn from, if there is one.
        mask_updates: At which steps to make a new mask, and what kind of.
        make_mask: Makes it. Each mask holds until the next one.
        checkpoint: Where to save the state after each epoch, and to resume from.
        tensorboard: Folder for event files, if they are wanted; made anew.

    Returns:
        The trained weights, float32, and the history, one row an epoch.

    Raises:
        UserError: The loss is not a number any more.
        OSError: The state cannot be saved.
    """
    step = Step(
        vector,
        training,
        recipe,
        precision=precision,
        seed=seed,
        forward=forward,
        lessons=lessons,
    )
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

    def finish() -> np.ndarray:
        return leave(step.result()) if leave else step.result()

    trained = None
    for epoch in range(len(history), recipe.epochs):
        epoch_began = time.perf_counter()
        step.sums.assign(tf.zeros(2))
        order = np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)
        for i in range(per_epoch):
            taken = epoch * per_epoch + i
            if mask_updates and taken in mask_updates:
                gradient = partial(step.gradient, np.roll(order, -i))
                made = make_mask(step.vector.numpy(), gradient, mask_updates[taken])
                step.set_mask(*made)
            rate = learning_rate(
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
        trained = finish()
        validation_loss, validation_accuracy = step.evaluate(
            trained, validation, network.logits if leave else forward
        )
        row = {
            "epoch": epoch + 1,
            "learning_rate": rate,
            "loss": loss,
            "accuracy": accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
            "sparsity": float(np.mean(trained == 0)),
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
    return finish() if trained is None else trained, history


def train_network(
    weights: Sequence[np.ndarray],
    training: Split,
    validation: Split,
    recipe: Recipe,
    *,
    make_mask: MakeMask | None = None,
    **options,
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Trains the fixed network (`train`), with what the recipe wants folded into it.

    Args:
        weights: The twelve arrays to start from, float32, for pixels / 255.
        training: What to train on.
        validation: What each epoch is measured on.
        recipe: How to train.
        make_mask: Makes masks of the network's weights, those that normalised pixels
            have if the recipe says so.
        **options: As of `train`.

    Returns:
        The twelve trained arrays, for pixels / 255, and the history.

    Raises:
        UserError: The loss is not a number any more.
        OSError: The state cannot be saved.
    """
    vector, forward = flatten(weights), network.logits
    pixels, folding = None, None
    if recipe.normalise:
        pixels = input_normalisation.measure_pixels(training.images)
        if recipe.batch_norm:  # takes the mean away itself
            pixels = pixels._replace(mean=np.zeros_like(pixels.mean))
        vector = input_normalisation.unfold(vector, pixels)
        forward = partial(forward, pixels=pixels)
    if recipe.batch_norm:
        folding = batch_norm.Folding(training.images, pixels)
        vector = folding.insert(vector)
        forward = partial(batch_norm.logits, pixels=pixels)
        make_mask = make_mask and folded_masks(folding, make_mask)

    def leave(trained: np.ndarray) -> np.ndarray:
        trained = folding.fold(trained) if folding else trained
        return input_normalisation.fold(trained, pixels) if pixels else trained

    trained, history = train(
        vector,
        training,
        validation,
        recipe,
        forward=forward,
        leave=leave,
        make_mask=make_mask,
        **options,
    )
    return unflatten(trained), history


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
