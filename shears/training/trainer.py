"""A training step, compiled, over data that is resident in memory."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from shears.data.augmentation import ImageTable
from shears.data.dataset import Split
from shears.model.architecture import CLASSES
from shears.runtime.backend import tf
from shears.training.recipe import Recipe
from shears.training.soft_targets import Lessons

EVALUATION_BATCH = 1000
# The variables of a `Step` that last.
STATE = ("vector", "mask", "first", "second", "average")
GRADIENT_IMAGES = 5120  # that a gradient for choosing weights is the mean of
GRADIENT_BATCH = 512

# (weights (W,), images (B, 32, 32, 3), dropout rates, seed (2,)) -> logits (B, 10)
Forward = Callable[[tf.Tensor, tf.Tensor, Sequence[float], tf.Tensor | None], tf.Tensor]


class Step:
    """The weights, the optimizer's state and the compiled update.

    Every random number comes from the seed and a counter of steps, none from a stream.
    """

    def __init__(
        self,
        vector: np.ndarray,
        data: Split,
        recipe: Recipe,
        *,
        precision: str,
        seed: int,
        forward: Forward,
        lessons: Lessons | None = None,
    ):
        """Puts weights and data where the step runs.

        Args:
            vector: (W,) float32, the weights to start from.
            data: Training images (N, 32, 32, 3) uint8 and labels (N,).
            recipe: How to train.
            precision: "float32" or "bfloat16"; the last layer and the update are
                float32 in both.
            seed: Seed of augmentation and dropout.
            forward: The network.
            lessons: A teacher's answers; their views replace flip and crop.
        """
        self.recipe, self.seed, self.forward = recipe, seed, forward
        self.dtype = tf.as_dtype(precision)
        self.vector = tf.Variable(vector)
        self.mask = tf.Variable(tf.ones_like(self.vector))
        self.first = tf.Variable(tf.zeros_like(self.vector))  # Adam's m, momentum
        self.second = tf.Variable(tf.zeros_like(self.vector))  # Adam's v
        self.average = tf.Variable(vector)
        self.sums = tf.Variable(tf.zeros(2))  # loss, correct answers
        self.images = ImageTable(data.images, lessons.crop if lessons else recipe.crop)
        self.labels = tf.constant(data.labels.astype(np.int32))
        self.lessons = lessons
        if lessons:
            self.views = tf.constant(lessons.views.astype(np.int32))
            self.answers = tf.constant(lessons.logits)

    def state(self) -> dict[str, np.ndarray]:
        """Copies what the next steps depend on, by name; each (W,).

        Random numbers come from the seed and the step's number, so they have no state.
        """
        return {name: getattr(self, name).numpy() for name in STATE}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes back to a copied state."""
        for name in STATE:
            getattr(self, name).assign(arrays[name])

    def set_mask(self, vector: np.ndarray, mask: np.ndarray) -> None:
        """Sets weights and mask, both (W,) float32; a mean of weights begins anew."""
        self.mask.assign(mask)
        self.vector.assign(vector * mask)
        self.average.assign(self.vector)

    def result(self) -> np.ndarray:
        """The weights that training gives: (W,) float32."""
        return (self.average if self.recipe.averaging else self.vector).numpy()

    def _augment(self, rows: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws a view of each image of a batch.

        Returns:
            (B, 32, 32, 3) uint8 and (B,) int32, which of the teacher's views it is.
        """
        count = tf.shape(rows)[0]
        if self.lessons:
            views = self.lessons.views.shape[1]
            which = tf.random.stateless_uniform((count,), seed, 0, views, tf.int32)
            view = tf.gather_nd(self.views, tf.stack([rows, which], 1))  # (B, 3)
            return self.images.cut(rows, view[:, :2], view[:, 2] > 0), which
        offsets = tf.random.stateless_uniform(
            (2, count), seed, 0, 2 * self.recipe.crop + 1, tf.int32
        )
        mirrored = tf.zeros((count,), tf.bool)
        if self.recipe.flip:
            mirrored = tf.random.stateless_uniform((count,), seed + [0, 1]) < 0.5
        return self.images.cut(rows, tf.transpose(offsets), mirrored), rows

    def _losses(
        self, outputs: tf.Tensor, rows: tf.Tensor, which: tf.Tensor
    ) -> tf.Tensor:
        """Computes the loss of each image of a batch: (B,) float32."""
        recipe = self.recipe
        targets = tf.one_hot(tf.gather(self.labels, rows), CLASSES)
        targets *= 1 - recipe.label_smoothing
        targets += recipe.label_smoothing / CLASSES
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, outputs)
        if not self.lessons:
            return losses
        # Hinton et al. 2015, section 2: T^2 keeps the gradient's size.
        heat = recipe.temperature
        answers = tf.gather_nd(self.answers, tf.stack([rows, which], 1))
        answers = tf.nn.softmax(tf.cast(answers, tf.float32) / heat)
        soft = tf.nn.softmax_cross_entropy_with_logits(answers, outputs / heat)
        share = recipe.distillation
        return share * heat**2 * soft + (1 - share) * losses

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
        images, which = self._augment(rows, seed + [0, 3])
        images = tf.cast(images, self.dtype) / 255
        with tf.GradientTape() as tape:
            outputs = self.forward(self.vector, images, recipe.dropout, seed)
            loss = tf.reduce_mean(self._losses(outputs, rows, which))
        gradient = tape.gradient(loss, self.vector)
        if recipe.weight_decay:  # decoupled (Loshchilov and Hutter 2019, algorithm 2)
            self.vector.assign(self.vector * (1 - rate * recipe.weight_decay))
        self._update(gradient, step, rate)
        self.vector.assign(self.vector * self.mask)
        if recipe.averaging:  # exponential (Polyak and Juditsky 1992's, weighted)
            self.average.assign_sub(
                (1 - recipe.averaging) * (self.average - self.vector)
            )
        # What is told is the labels' cross-entropy, whatever is learnt from: it can be
        # compared with validation's.
        labels = tf.gather(self.labels, rows)
        told = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        correct = tf.equal(tf.argmax(outputs, 1, tf.int32), labels)
        correct = tf.reduce_mean(tf.cast(correct, tf.float32))
        self.sums.assign_add(tf.stack([tf.reduce_mean(told), correct]))

    @tf.function
    def _gradient(self, rows: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """Computes the gradient of a batch's mean loss without dropout: (W,)."""
        seed = tf.stack([self.seed, 8 * number])
        images, which = self._augment(rows, seed + [0, 3])
        images = tf.cast(images, self.dtype) / 255
        with tf.GradientTape() as tape:
            outputs = self.forward(self.vector, images, (0.0, 0.0, 0.0), None)
            loss = tf.reduce_mean(self._losses(outputs, rows, which))
        return tape.gradient(loss, self.vector)

    def gradient(self, order: np.ndarray) -> np.ndarray:
        """Computes the gradient by which weights are chosen, masked ones included.

        Args:
            order: (N,) int32, training images; the first `GRADIENT_IMAGES` count.

        Returns:
            (W,) float32, of the mean loss.
        """
        batches = range(0, min(len(order), GRADIENT_IMAGES), GRADIENT_BATCH)
        total = np.zeros(self.vector.shape, np.float32)
        for start in batches:
            rows = order[start : start + GRADIENT_BATCH]
            total += self._gradient(tf.constant(rows), tf.constant(start)).numpy()
        return total / len(batches)

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
    def evaluate_batch(
        self,
        vector: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        forward: Forward,
    ) -> tf.Tensor:
        """Sums loss and correct answers over a batch: (2,) float32."""
        images = tf.cast(images, self.dtype) / 255
        outputs = forward(vector, images, (0.0, 0.0, 0.0), None)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        correct = tf.equal(tf.argmax(outputs, 1, tf.int32), labels)
        return tf.stack(
            [tf.reduce_sum(loss), tf.reduce_sum(tf.cast(correct, "float32"))]
        )

    def evaluate(
        self, vector: np.ndarray, data: Split, forward: Forward
    ) -> tuple[float, float]:
        """Computes mean loss and accuracy of weights, in the precision of training."""
        vector, sums = tf.constant(vector), np.zeros(2)
        for start in range(0, len(data.labels), EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            labels = data.labels[batch].astype(np.int32)
            images = tf.constant(data.images[batch])
            sums += self.evaluate_batch(vector, images, labels, forward).numpy()
        return tuple(float(value) for value in sums / len(data.labels))
