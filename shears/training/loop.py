"""Training and fine-tuning: epochs, mask updates, checkpoints to resume from."""

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np

from shears.data.dataset import Split
from shears.model import batch_norm, forward, input_normalisation
from shears.model.batch_norm import BatchNorm
from shears.model.parameters import (
    BatchNormParameters,
    Parameters,
    kernel_mask,
)
from shears.pruning.folded_masks import folded_masks
from shears.pruning.mask_plan import MaskPlan, MaskUpdate, Snapshot
from shears.runtime.backend import tf
from shears.runtime.errors import UserError
from shears.training.checkpoint import State
from shears.training.history import History
from shears.training.learning_rate import learning_rate
from shears.training.recipe import Recipe
from shears.training.run_context import RunContext
from shears.training.soft_targets import SoftTargets
from shears.training.trainer import Forward, TrainedForm, Trainer

log = logging.getLogger(__name__)

LOOKAHEAD_STEPS = 5
# The average's decay per step at the end of training; it starts at 0 and rises as the
# third power of the progress (after the recipe of Jordan 2024).
MOST_DECAY = 0.95

Trained = TypeVar("Trained", Parameters, BatchNormParameters)

# The state of training as vectors (W,) -> weights and mask (W,).
UpdateMask = Callable[[Snapshot[np.ndarray]], tuple[np.ndarray, np.ndarray]]


def steps_per_epoch(images: int, recipe: Recipe) -> int:
    """Counts the batches of an epoch; an incomplete last one is left out."""
    return max(1, images // recipe.batch_size)


def train(
    vector: np.ndarray,
    form: TrainedForm,
    training: Split,
    validation: Split,
    recipe: Recipe,
    context: RunContext,
    *,
    soft_targets: SoftTargets | None = None,
    mask_updates: Mapping[int, UpdateMask] | None = None,
    dynamic: bool = False,
) -> tuple[np.ndarray, History]:
    """Trains, logs a line per epoch and saves a checkpoint after each.

    Args:
        vector: (W,) float32, the weights to start from, in the form that is trained.
        form: What is trained and what is deployed.
        training: Images to train on.
        validation: Images to measure the deployed form on after each epoch; a refit on
            all images has none.
        recipe: How to train.
        context: Precision, seed, checkpoint and event files.
        soft_targets: A teacher's logits to distil, if there is a teacher.
        mask_updates: Functions that make a new mask, by the step they come before. A
            mask holds until the next one.
        dynamic: Whether what is pruned is trained on (`Trainer`).

    Returns:
        The trained weights in their deployed form, float32, and the history.

    Raises:
        UserError: The loss is no longer finite.
        OSError: The checkpoint cannot be saved.
    """
    trainer = Trainer(
        vector,
        training,
        recipe,
        precision=context.precision,
        seed=context.seed,
        forward=form.forward,
        soft_targets=soft_targets,
        dynamic=dynamic,
        kernels=form.kernels,
    )
    mask_updates = mask_updates or {}
    count = len(training.labels)
    per_epoch = steps_per_epoch(count, recipe)
    steps = per_epoch * recipe.epochs
    warmup = round(recipe.warmup_epochs * per_epoch)
    history: History = []
    start = time.perf_counter()
    if context.checkpoint and (saved := context.checkpoint.load()):
        trainer.state.restore(saved.arrays)
        history = saved.history
        start -= history[-1]["seconds"]
        log.info("resuming after epoch %d/%d", len(history), recipe.epochs)
    writer = None
    if context.tensorboard:
        if not history:  # or the curves of two runs would overlap
            shutil.rmtree(context.tensorboard, ignore_errors=True)
        writer = tf.summary.create_file_writer(str(context.tensorboard))

    deployed = None
    for epoch in range(len(history), recipe.epochs):
        epoch_start = time.perf_counter()
        trainer.start_epoch(epoch)
        rng = np.random.default_rng([context.seed, epoch])
        order = rng.permutation(count).astype(np.int32)
        for i in range(per_epoch):
            step = epoch * per_epoch + i
            if step in mask_updates:
                snapshot = Snapshot(
                    trainer.state.parameters.numpy(),
                    trainer.state.mask.numpy(),
                    partial(trainer.gradient, np.roll(order, -i)),
                    partial(trainer.second_moment, step) if step else None,
                )
                trainer.set_mask(*mask_updates[step](snapshot))
            rate = learning_rate(
                step,
                steps,
                peak=recipe.learning_rate,
                schedule=recipe.schedule,
                warmup=warmup,
                final=recipe.final_rate,
            )
            rows = order[i * recipe.batch_size : (i + 1) * recipe.batch_size]
            trainer.step(tf.constant(rows), tf.constant(step), tf.constant(rate))
            if recipe.lookahead and (step + 1) % LOOKAHEAD_STEPS == 0:
                decay = MOST_DECAY**LOOKAHEAD_STEPS * ((step + 1) / steps) ** 3
                trainer.look_ahead(tf.constant(decay))
        loss, accuracy = (float(value) for value in trainer.sums.numpy() / per_epoch)
        seconds = time.perf_counter() - epoch_start
        if not np.isfinite(loss):
            raise UserError(
                f"training diverged in epoch {epoch + 1} (loss {loss}): lower the "
                f"recipe's learning_rate (it is {recipe.learning_rate:g}) or give it "
                "warmup_epochs"
            )
        deployed = form.to_deployed(trainer.result())
        validation_loss, validation_accuracy = trainer.evaluate(
            deployed, validation, form.deployed_forward
        )
        row = {
            "epoch": epoch + 1,
            "learning_rate": rate,
            "loss": loss,
            "accuracy": accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
            "sparsity": float(np.mean(deployed == 0)),
            "images_per_second": per_epoch * len(rows) / seconds,
            "seconds": time.perf_counter() - start,
        }
        history.append(row)
        if context.checkpoint:
            finished = epoch + 1 == recipe.epochs
            state = State(trainer.state.to_arrays(), history, finished)
            context.checkpoint.save(state)
        log.info("%s", progress_line(row, recipe.epochs))
        if writer:
            with writer.as_default(step=epoch + 1):
                for name, value in row.items():
                    tf.summary.scalar(name, value)
            writer.flush()
    if deployed is None:  # resumed after the last epoch
        deployed = form.to_deployed(trainer.result())
    return deployed, history


def train_network(
    start: Parameters,
    training: Split,
    validation: Split,
    recipe: Recipe,
    context: RunContext,
    *,
    soft_targets: SoftTargets | None = None,
    masks: MaskPlan | None = None,
) -> tuple[Parameters, History]:
    """Trains the fixed network (`train`), and folds into it what the recipe adds.

    Args:
        start: The parameters to start from, float32, for pixels / 255.
        training: Images to train on.
        validation: Images to measure on after each epoch.
        recipe: How to train.
        context: Precision, seed, checkpoint and event files.
        soft_targets: A teacher's logits to distil, if there is a teacher.
        masks: Masks of the network's parameters (those for normalised pixels, if the
            recipe normalises).

    Returns:
        The trained parameters, for pixels / 255, and the history.

    Raises:
        UserError: The loss is no longer finite.
        OSError: The checkpoint cannot be saved.
    """
    pixels = None
    if recipe.normalise:
        pixels = input_normalisation.measure_pixels(training.images)
        if recipe.batch_norm:  # subtracts the mean itself
            pixels = pixels._replace(mean=np.zeros_like(pixels.mean))
        start = input_normalisation.unfold(start, pixels)

    def to_plain_pixels(parameters: Parameters) -> np.ndarray:
        if pixels:
            parameters = input_normalisation.fold(parameters, pixels)
        return parameters.vector

    mask_updates: dict[int, UpdateMask] = {}
    if recipe.batch_norm:
        norm = BatchNorm(training.images, pixels)
        logits: Forward = partial(
            batch_norm.logits, pixels=pixels, patches=norm.patches
        )
        vector = norm.insert(start).vector
        if masks:
            make_mask = folded_masks(norm, masks.make_mask)
            mask_updates = _on_vectors(BatchNormParameters, make_mask, masks.updates)

        def to_deployed(vector: np.ndarray) -> np.ndarray:
            return to_plain_pixels(norm.fold(BatchNormParameters(vector)))
    else:
        logits, vector = partial(forward.logits, pixels=pixels), start.vector
        if masks:
            mask_updates = _on_vectors(Parameters, masks.make_mask, masks.updates)

        def to_deployed(vector: np.ndarray) -> np.ndarray:
            return to_plain_pixels(Parameters(vector))

    vector, history = train(
        vector,
        TrainedForm(
            logits,
            to_deployed,
            forward.logits,
            kernel_mask(batch_norm=recipe.batch_norm),
        ),
        training,
        validation,
        recipe,
        context,
        soft_targets=soft_targets,
        mask_updates=mask_updates,
        dynamic=masks.dynamic if masks else False,
    )
    return Parameters(vector), history


def _on_vectors(
    form: type[Trained],
    make_mask: Callable[[Snapshot[Trained], MaskUpdate], tuple[Trained, Trained]],
    updates: Mapping[int, MaskUpdate],
) -> dict[int, UpdateMask]:
    """Returns for each step a function that makes its mask from flat vectors."""

    def update_mask(
        update: MaskUpdate, snapshot: Snapshot[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        new, mask = make_mask(snapshot.convert(form), update)
        return new.vector, mask.vector

    return {step: partial(update_mask, update) for step, update in updates.items()}


def progress_line(row: Mapping[str, float], epochs: int) -> str:
    """Describes the progress of training and the time left, in one line."""
    left = row["seconds"] / row["epoch"] * (epochs - row["epoch"])
    minutes, seconds = divmod(round(left), 60)
    accuracy = row["validation_accuracy"]
    shown = "" if math.isnan(accuracy) else f"validation accuracy {accuracy:.4f}  "
    return (
        f"epoch {row['epoch']}/{epochs}  loss {row['loss']:.4f}  {shown}"
        f"sparsity {row['sparsity']:.4f}  {row['images_per_second']:,.0f} images/s  "
        f"{minutes}:{seconds:02d} left"
    )
