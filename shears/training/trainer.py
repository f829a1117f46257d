"""The trainer: training state, the compiled step, and data held in memory."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shears.data.augmentation import ImageTable
from shears.data.dataset import Split
from shears.runtime.backend import tf
from shears.training.losses import cross_entropy, distillation_loss
from shears.training.recipe import Recipe
from shears.training.soft_targets import SoftTargets

EVALUATION_BATCH = 1000
GRADIENT_IMAGES = 5120  #: that the gradient for mask updates is averaged over
GRADIENT_BATCH = 512
SEEDS_PER_STEP = 8  # 0 to 2 for dropout, 3 for augmentation
NO_DROPOUT = (0.0, 0.0, 0.0)

# (weights (W,), images (B, 32, 32, 3), dropout rates, seed (2,)) -> logits (B, 10)
Forward = Callable[[tf.Tensor, tf.Tensor, Sequence[float], tf.Tensor | None], tf.Tensor]


@dataclass(frozen=True)
class TrainedForm:
    """The form in which a network is trained, and how it becomes the deployed one.

    Attributes:
        forward: Computes the logits of the trained form.
        to_deployed: Turns the trained form, (W,) float32, into the deployed one.
        deployed_forward: Computes the logits of the deployed form.
        kernels: (W,) bool, what belongs to a kernel, for ``decay: kernels``.
    """

    forward: Forward
    to_deployed: Callable[[np.ndarray], np.ndarray]
    deployed_forward: Forward
    kernels: np.ndarray | None = None


class TrainState:
    """The variables that later steps depend on, (W,) float32 each.

    Random numbers come from the seed and the step's number, so they have no state.

    Attributes:
        parameters: The weights; with dynamic masks, the latent ones.
        mask: 0 where a weight is pruned, else 1.
        mu: Adam's first moment, or sgd's velocity.
        nu: Adam's second moment.
        ema: The moving average of the weights since the last mask.
    """

    def __init__(self, vector: np.ndarray):
        """Starts from weights (W,) float32, without a mask."""
        self.parameters = tf.Variable(vector)
        self.mask = tf.Variable(tf.ones_like(self.parameters))
        self.mu = tf.Variable(tf.zeros_like(self.parameters))
        self.nu = tf.Variable(tf.zeros_like(self.parameters))
        self.ema = tf.Variable(vector)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Copies the variables, by name."""
        return {name: variable.numpy() for name, variable in vars(self).items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the variables to what `to_arrays` copied."""
        for name, variable in vars(self).items():
            variable.assign(arrays[name])


class Trainer:
    """A training run: its state, its data and the compiled step."""

    def __init__(
        self,
        vector: np.ndarray,
        data: Split,
        recipe: Recipe,
        *,
        precision: str,
        seed: int,
        forward: Forward,
        soft_targets: SoftTargets | None = None,
        dynamic: bool = False,
        kernels: np.ndarray | None = None,
    ):
        """Puts weights and data on the device that the step runs on.

        Args:
            vector: (W,) float32, the weights to start from.
            data: Training images (N, 32, 32, 3) uint8 and labels (N,).
            recipe: How to train.
            precision: "float32" or "bfloat16"; the last layer and the update are
                float32 in both.
            seed: Seed of augmentation and dropout.
            forward: The network.
            soft_targets: A teacher's; their views, one an epoch, replace the recipe's
                flip and crop.
            dynamic: Whether pruned weights are trained on, as latent weights: with the
                gradient of the masked network (DPF; Lin et al. 2020, algorithm 1).
            kernels: (W,) bool, what weight decay acts on with ``decay: kernels``.

        Raises:
            ValueError: `kernels` is missing.
        """
        self.recipe, self.seed, self.forward = recipe, seed, forward
        self.dynamic = dynamic
        self.decay: float | tf.Tensor = recipe.weight_decay
        if recipe.decay == "kernels":
            if kernels is None:
                raise ValueError("kernels: found None, expected which weights decay")
            self.decay = tf.constant(recipe.weight_decay * kernels, tf.float32)
        self.dtype = tf.as_dtype(precision)
        self.state = TrainState(vector)
        self.sums = tf.Variable(tf.zeros(2))  # cross-entropy, correct predictions
        crop = soft_targets.crop if soft_targets else recipe.crop
        self.images = ImageTable(data.images, crop)
        self.labels = tf.constant(data.labels.astype(np.int32))
        self.epoch = tf.Variable(0)
        first = np.random.default_rng(seed).integers(0, 2, len(data.labels))
        self.first_mirrored = tf.constant(first.astype(np.int32))
        self.soft_targets = soft_targets
        if soft_targets:
            self.places = tf.Variable(soft_targets.places[0].astype(np.int32))
            self.partners = tf.Variable(soft_targets.partners[0])
            self.shares = tf.Variable(soft_targets.shares[0])
            self.teacher_logits = tf.Variable(soft_targets.logits[0])

    def start_epoch(self, epoch: int) -> None:
        """Goes on to the views of an epoch.

        Without a teacher, each image is mirrored in every other epoch (alternating
        flip; Jordan 2024, section 3.6), and `draw_view` does so with one.
        """
        self.epoch.assign(epoch)
        self.sums.assign(tf.zeros(2))
        if targets := self.soft_targets:
            view = epoch % len(targets.logits)
            self.places.assign(targets.places[view].astype(np.int32))
            self.partners.assign(targets.partners[view])
            self.shares.assign(targets.shares[view])
            self.teacher_logits.assign(targets.logits[view])

    def result(self) -> np.ndarray:
        """Returns the masked weights, or their moving average: (W,) float32."""
        state, recipe = self.state, self.recipe
        averaged = recipe.ema_decay or recipe.lookahead
        weights = state.ema if averaged else state.parameters
        return (weights * state.mask).numpy()

    def set_mask(self, vector: np.ndarray, mask: np.ndarray) -> None:
        """Sets weights and mask, (W,) float32 each; restarts the moving average."""
        state = self.state
        state.mask.assign(mask)
        state.parameters.assign(vector if self.dynamic else vector * mask)
        state.ema.assign(state.parameters)

    @tf.function
    def look_ahead(self, decay: tf.Tensor) -> None:
        """Moves the average towards the weights, and the weights onto the average.

        Lookahead (Zhang et al. 2019, algorithm 1), with a slow rate of 1 - decay.

        Args:
            decay: float32 scalar, the share of the average that stays.
        """
        state = self.state
        state.ema.assign_sub((1 - decay) * (state.ema - state.parameters))
        state.parameters.assign(state.ema)

    def augment(self, rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Takes the epoch's view of each image of a batch.

        Args:
            rows: (B,) int32, the images.
            seed: (2,) int32, for shifts where there is no teacher.

        Returns:
            (B, 32, 32, 3), pixels / 255 in the precision of training.
        """
        if self.soft_targets and self.soft_targets.mixed:
            return self.images.mix(
                rows, self.places, self.partners, self.shares, self.dtype
            )
        if self.soft_targets:
            places = tf.gather(self.places, rows)
            views = self.images.cut(rows, places[:, :2], places[:, 2] > 0)
        else:
            turn = tf.gather(self.first_mirrored, rows) + self.epoch
            mirrored = tf.logical_and(self.recipe.flip, turn % 2 > 0)
            views = self.images.shift(rows, mirrored, seed)
        return tf.cast(views, self.dtype) / 255

    def losses(self, logits: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each image of a batch.

        Args:
            logits: (B, 10) float32.
            rows: (B,) int32, the images.

        Returns:
            (B,) float32. An image that is mixed with another has no label, only the
            teacher's soft targets.
        """
        recipe = self.recipe
        labels = tf.gather(self.labels, rows)
        hard_loss = cross_entropy(labels, logits, recipe.label_smoothing)
        if not self.soft_targets:
            return hard_loss
        mixed = tf.gather(self.shares, rows) < 1
        return distillation_loss(
            logits,
            tf.gather(self.teacher_logits, rows),
            hard_loss,
            distillation=tf.where(mixed, 1.0, recipe.distillation),
            temperature=recipe.temperature,
        )

    def _forward_and_gradient(
        self, rows: tf.Tensor, number: tf.Tensor, *, with_dropout: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes logits (B, 10) and the gradient (W,) of a batch's mean loss."""
        seed = tf.stack([self.seed, SEEDS_PER_STEP * number])
        images = self.augment(rows, seed + [0, 3])
        dropout = self.recipe.dropout if with_dropout else NO_DROPOUT
        weights = tf.convert_to_tensor(self.state.parameters)
        if self.dynamic:
            weights *= self.state.mask
        with tf.GradientTape() as tape:
            tape.watch(weights)  # all of them: a pruned weight has a gradient, too
            logits = self.forward(
                weights, images, dropout, seed if with_dropout else None
            )
            loss = tf.reduce_mean(self.losses(logits, rows))
        return logits, tape.gradient(loss, weights)

    @tf.function
    def step(self, rows: tf.Tensor, step: tf.Tensor, rate: tf.Tensor) -> None:
        """Takes one step.

        Args:
            rows: (B,) int32, the images of the batch.
            step: int32 scalar, steps taken before.
            rate: float32 scalar, the learning rate.
        """
        recipe, state = self.recipe, self.state
        logits, gradient = self._forward_and_gradient(rows, step, with_dropout=True)
        if recipe.weight_decay:  # decoupled (Loshchilov and Hutter 2019, algorithm 2)
            state.parameters.assign(state.parameters * (1 - rate * self.decay))
        self._update(gradient, step, rate)
        if not self.dynamic:
            state.parameters.assign(state.parameters * state.mask)
        if recipe.ema_decay:  # (Polyak and Juditsky 1992, with exponential weights)
            state.ema.assign_sub(
                (1 - recipe.ema_decay) * (state.ema - state.parameters)
            )
        # The history has the labels' cross-entropy, whatever the loss is, so that
        # training and validation can be compared.
        labels = tf.gather(self.labels, rows)
        label_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        correct = tf.equal(tf.argmax(logits, 1, tf.int32), labels)
        correct = tf.reduce_mean(tf.cast(correct, tf.float32))
        self.sums.assign_add(tf.stack([tf.reduce_mean(label_losses), correct]))

    @tf.function
    def _gradient(self, rows: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """Computes the gradient of a batch's mean loss without dropout: (W,)."""
        return self._forward_and_gradient(rows, number, with_dropout=False)[1]

    def gradient(self, order: np.ndarray) -> np.ndarray:
        """Computes the gradient for mask updates, for pruned weights too.

        Args:
            order: (N,) int32, training images; the first `GRADIENT_IMAGES` are used.

        Returns:
            (W,) float32, of the mean loss.
        """
        batches = range(0, min(len(order), GRADIENT_IMAGES), GRADIENT_BATCH)
        total = np.zeros(self.state.parameters.shape, np.float32)
        for start in batches:
            rows = order[start : start + GRADIENT_BATCH]
            total += self._gradient(tf.constant(rows), tf.constant(start)).numpy()
        return total / len(batches)

    def second_moment(self, step: int) -> np.ndarray:
        """Returns Adam's second moment, bias-corrected (Kingma and Ba 2015).

        Args:
            step: Steps taken, at least 1.

        Returns:
            (W,) float32, for pruned weights too.
        """
        return self.state.nu.numpy() / np.float32(1 - self.recipe.beta_2**step)

    def _update(self, gradient: tf.Tensor, step: tf.Tensor, rate: tf.Tensor) -> None:
        """Applies TensorFlow's fused update: one pass over the flat vector."""
        recipe, state = self.recipe, self.state
        if recipe.optimizer == "sgd":
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=state.parameters.handle,
                accum=state.mu.handle,
                lr=rate,
                grad=gradient,
                momentum=recipe.momentum,
                use_nesterov=recipe.nesterov,
            )
            return
        number = tf.cast(step + 1, tf.float32)
        # Kingma and Ba 2015, the order at the end of section 2: epsilon is their
        # epsilon-hat, as in Keras.
        tf.raw_ops.ResourceApplyAdam(
            var=state.parameters.handle,
            m=state.mu.handle,
            v=state.nu.handle,
            beta1_power=tf.pow(recipe.beta_1, number),
            beta2_power=tf.pow(recipe.beta_2, number),
            lr=rate,
            beta1=recipe.beta_1,
            beta2=recipe.beta_2,
            epsilon=recipe.epsilon,
            grad=gradient,
        )

    @tf.function
    def _evaluate_batch(
        self,
        vector: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        forward: Forward,
    ) -> tf.Tensor:
        """Sums loss and correct predictions over a batch: (2,) float32."""
        images = tf.cast(images, self.dtype) / 255
        logits = forward(vector, images, NO_DROPOUT, None)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        correct = tf.equal(tf.argmax(logits, 1, tf.int32), labels)
        return tf.stack(
            [tf.reduce_sum(loss), tf.reduce_sum(tf.cast(correct, "float32"))]
        )

    def evaluate(
        self, vector: np.ndarray, data: Split, forward: Forward
    ) -> tuple[float, float]:
        """Computes mean loss and accuracy of weights, in the precision of training.

        Returns:
            Both; NaN without images.
        """
        if not len(data.labels):
            return math.nan, math.nan
        vector, sums = tf.constant(vector), np.zeros(2)
        for start in range(0, len(data.labels), EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            labels = data.labels[batch].astype(np.int32)
            images = tf.constant(data.images[batch])
            sums += self._evaluate_batch(vector, images, labels, forward).numpy()
        loss, accuracy = (float(value) for value in sums / len(data.labels))
        return loss, accuracy
