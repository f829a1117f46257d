"""Part A in the form that the course's notebook asks for, thin over the optimizers.

The notebook gives these classes and signatures and leaves the bodies open.
`shears.optimizer_study.fill.fill` copies the bodies from here, with all that they need,
so this is the one source. They run on TensorFlow 2.2 and Python 3.8, too.

``X`` is (samples, 2) and ``y`` is (samples, 1), both float32. A model has the variables
``w``, (1, 2), and ``b``, a scalar.
"""

from typing import Any, List, Sequence, Tuple

from shears.optimizer_study.optimizers import (
    AdaGradState,
    AdamState,
    GradientDescentState,
    adagrad,
    adam,
    gradient_descent,
)
from shears.runtime.backend import tf


def variables_of(model: Any) -> List[Any]:
    """Returns a linear model's two variables."""
    return [model.w, model.b]


def values_of(model: Any) -> List[Any]:
    """Returns the two variables' values, as tensors."""
    return [tf.convert_to_tensor(variable) for variable in variables_of(model)]


def assign(model: Any, values: Sequence[Any]) -> None:
    """Gives a linear model's two variables new values."""
    for variable, value in zip(variables_of(model), values):
        variable.assign(value)


def per_variable(memory: Any, model: Any) -> List[Any]:
    """Expands what an optimizer remembers to a tensor for each variable.

    Args:
        memory: A number for both variables, or one value for each.
        model: A linear model.
    """
    values = tf.nest.flatten(memory)
    values = 2 * values if len(values) == 1 else values
    return [
        tf.zeros_like(variable) + tf.cast(value, variable.dtype)
        for variable, value in zip(values_of(model), values)
    ]


def gradients_of_loss(X: Any, y: Any, model: Any) -> Tuple[Any, Any]:
    """Computes the gradients of the mean squared error by w and by b."""
    with tf.GradientTape() as tape:
        y_pred = model(X)
        y_true = tf.reshape(tf.cast(y, y_pred.dtype), tf.shape(y_pred))
        mean_squared_error = tf.reduce_mean(tf.square(y_pred - y_true))
    by_w, by_b = tape.gradient(mean_squared_error, variables_of(model))
    return by_w, by_b


def one_sample(optimizer: Any, X: Any, y: Any) -> Tuple[Any, Any]:
    """Draws one sample: (1, 2) of X and (1, 1) of y.

    The draws depend on their number alone and not on TensorFlow's random state, so each
    new optimizer draws the same samples whatever ran before it.
    """
    optimizer.draws = getattr(optimizer, "draws", 0) + 1
    row = tf.random.stateless_uniform(
        [1], [10605, optimizer.draws], maxval=tf.shape(X)[0], dtype=tf.int32
    )
    return tf.gather(X, row), tf.gather(y, row)


def descend(lr: float, grads: Sequence[Any], model: Any) -> None:
    """Takes a step of gradient descent; SGD's step is the same."""
    optimizer, state = gradient_descent(lr), GradientDescentState()
    values, _ = optimizer.update(list(grads), state, values_of(model))
    assign(model, values)


class Linear:
    """The linear model; in the notebook, it is a ``tf.keras.Model``."""

    def __init__(self):
        """Creates the variables."""
        self.w = tf.Variable([[5.0, 5.0]], name="weight")
        self.b = tf.Variable(10.0, name="bias")

    def call(self, inputs):
        """Predicts: (samples, 2) to (samples, 1)."""
        w = tf.reshape(self.w, [-1])
        products = tf.cast(inputs, w.dtype) * w  # (samples, 2)
        return tf.reduce_sum(products, axis=-1, keepdims=True) + self.b

    __call__ = call


def loss(y_true, y_pred):
    """Computes the mean squared error: a scalar of the predictions' dtype."""
    y_pred = tf.convert_to_tensor(y_pred)
    return tf.reduce_mean(tf.square(y_pred - tf.cast(y_true, y_pred.dtype)))


class GD:
    """Gradient descent: the gradient of the loss over all samples."""

    def __init__(self, lr=0.01):
        """Keeps the learning rate."""
        self.lr = lr

    def calculate_gradient(self, X, y, model):
        """Computes the gradients by w and by b."""
        return gradients_of_loss(X, y, model)

    def apply_gradient(self, grads, model):
        """Changes the model's variables."""
        descend(self.lr, grads, model)


class SGD:
    """Stochastic gradient descent: the gradient of one sample, drawn at random."""

    def __init__(self, lr=0.01):
        """Keeps the learning rate."""
        self.lr = lr

    def calculate_gradient(self, X, y, model):
        """Computes the gradients by w and by b."""
        return gradients_of_loss(*one_sample(self, X, y), model)

    def apply_gradient(self, grads, model):
        """Changes the model's variables."""
        descend(self.lr, grads, model)


class AdaGrad:
    """AdaGrad, with the gradient of one sample."""

    def __init__(self, lr=0.001, epsilon=1e-7):
        """Keeps the settings, and starts the sum of squared gradients."""
        self.lr = lr
        self.epsilon = epsilon
        self.accumulator = 0.1

    def calculate_gradient(self, X, y, model):
        """Computes the gradients by w and by b."""
        return gradients_of_loss(*one_sample(self, X, y), model)

    def apply_gradient(self, grads, model):
        """Changes the model's variables."""
        optimizer = adagrad(self.lr, epsilon=self.epsilon)
        state = AdaGradState(per_variable(self.accumulator, model))
        values, state = optimizer.update(list(grads), state, values_of(model))
        self.accumulator = state.accumulator
        assign(model, values)


class Adam:
    """Adam, with the gradient of one sample."""

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, epsilon=1e-7):
        """Keeps the settings, and starts both averages."""
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.m = 0.0
        self.v = 0.0
        self.t = 0

    def calculate_gradient(self, X, y, model):
        """Computes the gradients by w and by b."""
        return gradients_of_loss(*one_sample(self, X, y), model)

    def apply_gradient(self, grads, model):
        """Changes the model's variables."""
        optimizer = adam(self.lr, self.beta1, self.beta2, self.epsilon)
        state = AdamState(
            self.t, per_variable(self.m, model), per_variable(self.v, model)
        )
        values, state = optimizer.update(list(grads), state, values_of(model))
        self.t, self.m, self.v = state.step, state.mu, state.nu
        assign(model, values)
