"""Part A's optimizers, each a pair of pure functions: (init, update).

``init(parameters)`` creates an optimizer's state.
``update(gradients, state, parameters)`` returns the new parameters and the new state;
nothing is changed in place. Parameters are a tensor, or tensors nested in dictionaries,
lists and tuples. Gradients have the same structure, shapes and dtypes; the dtype is
kept. A wrong argument raises a ValueError that names it. Both functions run eagerly or
in a ``tf.function``.

Operations have Keras' order and settings Keras' rounding, so results agree to the last
bits: learning rates, momentum, AdaGrad's initial accumulator and the powers of Adam's
betas are float32 even where parameters are float64, unless given as float64 tensors.
"""

from typing import Any, Callable, NamedTuple, Tuple  # copies also run on Python 3.8

from shears.optimizer_study.arguments import (
    Tree,
    check_parameters,
    check_settings,
    check_update,
)
from shears.runtime.backend import tf

State = Any  #: one of the named tuples below
_map = tf.nest.map_structure
_setting = tf.cast  # as Keras converts a setting: a number by way of float32


class Optimizer(NamedTuple):
    """An optimizer.

    Attributes:
        init: Creates the state from the parameters.
        update: Computes (parameters, state) from (gradients, state, parameters).
    """

    init: Callable[[Tree], State]
    update: Callable[[Tree, State, Tree], Tuple[Tree, State]]


class GradientDescentState(NamedTuple):
    """Gradient descent has no memory."""


class MomentumState(NamedTuple):
    """Velocity: one tensor per parameter, of its shape and dtype."""

    velocity: Tree


class AdaGradState(NamedTuple):
    """Sum of squared gradients: one tensor per parameter, of its shape and dtype."""

    accumulator: Tree


class RMSPropState(NamedTuple):
    """Second moment, the moving average of squared gradients: one per parameter."""

    nu: Tree


class AdamState(NamedTuple):
    """Adam's memory.

    Attributes:
        step: Number of updates so far; int64 scalar.
        mu: First moment, the moving average of gradients; one tensor per parameter.
        nu: Second moment, that of squared gradients; one tensor per parameter.
    """

    step: tf.Tensor
    mu: Tree
    nu: Tree


def _exact(value: Any, dtype: tf.DType) -> tf.Tensor:
    """Converts a setting that Keras does not round to float32."""
    return tf.cast(value, dtype) if tf.is_tensor(value) else tf.constant(value, dtype)


def gradient_descent(learning_rate: float) -> Optimizer:
    r"""Gradient descent, with the gradient over all samples (Cauchy 1847).

    | x <- x - learning_rate * g

    Args:
        learning_rate: Step size, in parameters per gradient; more than 0.

    Raises:
        ValueError: The learning rate is not positive.

    Example:
        >>> descend = gradient_descent(0.1)
        >>> x = tf.constant([1.0])
        >>> x, state = descend.update(2 * x, descend.init(x), x)  # of x ** 2
        >>> x.numpy().tolist()
        [0.800000011920929]
    """
    settings = check_settings(learning_rate=learning_rate)

    def init(parameters: Tree) -> GradientDescentState:
        check_parameters(parameters, settings)
        return GradientDescentState()

    def update(gradients: Tree, state: GradientDescentState, parameters: Tree) -> Tree:
        gradients, state, parameters = check_update(
            gradients, state, parameters, GradientDescentState, settings
        )
        steps = _map(lambda g: g * _setting(learning_rate, g.dtype), gradients)
        return _map(tf.subtract, parameters, steps), state

    return Optimizer(init, update)


def stochastic_gradient_descent(learning_rate: float) -> Optimizer:
    """Stochastic gradient descent: the gradient is of one sample, drawn at random.

    | x <- x - learning_rate * g_i

    The update is gradient descent's; only the gradient differs. Robbins and Monro
    (1951), A stochastic approximation method, equation 9.

    Args:
        learning_rate: Step size, in parameters per gradient; more than 0. If constant,
            the parameters end in a ball around the solution; a smaller rate shrinks it.

    Raises:
        ValueError: The learning rate is not positive.

    Example:
        >>> descend = stochastic_gradient_descent(0.5)
        >>> w = tf.constant(0.0)
        >>> for x, y in ((1.0, 2.0), (2.0, 4.0)):  # of (w x - y) ** 2 / 2
        ...     w, _ = descend.update((w * x - y) * x, descend.init(w), w)
        >>> float(w)
        3.0
    """
    return gradient_descent(learning_rate)


def momentum(learning_rate: float, momentum: float = 0.9) -> Optimizer:
    """Gradient descent with momentum: one half of what Adam is made of.

    | v <- momentum * v - learning_rate * g
    | x <- x + v

    Polyak (1964), Some methods of speeding up the convergence of iteration methods,
    equation 9.

    Args:
        learning_rate: Step size, in parameters per gradient; more than 0.
        momentum: Share of the velocity that is kept; in [0, 1).

    Raises:
        ValueError: An argument is outside its range.

    Example:
        >>> roll = momentum(0.1, momentum=0.5)
        >>> x = tf.constant(1.0)
        >>> state = roll.init(x)
        >>> for _ in range(2):
        ...     x, state = roll.update(tf.constant(1.0), state, x)
        >>> round(float(x), 6)
        0.75
    """
    settings = check_settings(learning_rate=learning_rate, momentum=momentum)

    def init(parameters: Tree) -> MomentumState:
        parameters = check_parameters(parameters, settings)
        return MomentumState(_map(tf.zeros_like, parameters))

    def update(gradients: Tree, state: MomentumState, parameters: Tree) -> Tree:
        gradients, state, parameters = check_update(
            gradients, state, parameters, MomentumState, settings
        )

        def accelerate(v: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
            rate, share = _setting(learning_rate, g.dtype), _setting(momentum, g.dtype)
            return v * share - g * rate

        velocity = _map(accelerate, state.velocity, gradients)
        return _map(tf.add, parameters, velocity), MomentumState(velocity)

    return Optimizer(init, update)


def adagrad(
    learning_rate: float, initial_accumulator: float = 0.1, epsilon: float = 1e-7
) -> Optimizer:
    """AdaGrad: smaller steps for coordinates whose gradients have been large.

    | G <- G + g^2
    | x <- x - learning_rate * g / sqrt(G + epsilon)

    Each coordinate has its own step size, which only falls. Duchi, Hazan and Singer
    (2011), Adaptive subgradient methods for online learning and stochastic
    optimization, figure 1 with the diagonal of G.

    Args:
        learning_rate: Step size, in parameters: the longest first step; more than 0.
        initial_accumulator: The initial G, in squared gradients; at least 0.
        epsilon: Keeps the root from zero, in squared gradients; more than 0. It is
            added inside the root, as in Keras, not after it like the paper's delta.

    Raises:
        ValueError: An argument is outside its range.

    Example:
        >>> adapt = adagrad(0.1, initial_accumulator=0.0)
        >>> x, g = tf.constant([[1.0, 1.0], [100.0, 0.01]], tf.float64)
        >>> x, _ = adapt.update(g, adapt.init(x), x)
        >>> x.numpy().round(3).tolist()  # the scale of the gradient does not matter
        [0.9, 0.9]
    """
    settings = check_settings(
        learning_rate=learning_rate,
        initial_accumulator=initial_accumulator,
        epsilon=epsilon,
    )

    def init(parameters: Tree) -> AdaGradState:
        ones = _map(tf.ones_like, check_parameters(parameters, settings))
        total = _map(lambda x: x * _setting(initial_accumulator, x.dtype), ones)
        return AdaGradState(total)

    def update(gradients: Tree, state: AdaGradState, parameters: Tree) -> Tree:
        gradients, state, parameters = check_update(
            gradients, state, parameters, AdaGradState, settings
        )
        total = _map(lambda a, g: a + tf.square(g), state.accumulator, gradients)

        def step(x: tf.Tensor, g: tf.Tensor, a: tf.Tensor) -> tf.Tensor:
            root = tf.sqrt(a + _exact(epsilon, x.dtype))
            return x - _setting(learning_rate, x.dtype) * g / root

        return _map(step, parameters, gradients, total), AdaGradState(total)

    return Optimizer(init, update)


def rmsprop(learning_rate: float, rho: float = 0.9, epsilon: float = 1e-7) -> Optimizer:
    """RMSProp: AdaGrad with a moving average instead of the sum; Adam's other half.

    | nu <- rho * nu + (1 - rho) * g^2
    | x <- x - learning_rate * g / sqrt(nu + epsilon)

    Tieleman and Hinton (2012), Neural networks for machine learning, lecture 6.5.

    Args:
        learning_rate: Step size, in parameters; more than 0.
        rho: Share of the average that is kept; in [0, 1).
        epsilon: Keeps the root from zero, in squared gradients; added inside the root;
            more than 0.

    Raises:
        ValueError: An argument is outside its range.

    Example:
        >>> adapt = rmsprop(0.1, rho=0.75)
        >>> x = tf.constant(1.0)
        >>> x, _ = adapt.update(tf.constant(8.0), adapt.init(x), x)
        >>> round(float(x), 5)  # 8 / sqrt(0.25 * 8 ** 2) = 2
        0.8
    """
    settings = check_settings(learning_rate=learning_rate, rho=rho, epsilon=epsilon)

    def init(parameters: Tree) -> RMSPropState:
        parameters = check_parameters(parameters, settings)
        return RMSPropState(_map(tf.zeros_like, parameters))

    def update(gradients: Tree, state: RMSPropState, parameters: Tree) -> Tree:
        gradients, state, parameters = check_update(
            gradients, state, parameters, RMSPropState, settings
        )

        def average(nu: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
            return _exact(rho, g.dtype) * nu + tf.square(g) * _exact(1 - rho, g.dtype)

        def step(x: tf.Tensor, g: tf.Tensor, nu: tf.Tensor) -> tf.Tensor:
            root = tf.sqrt(nu + _exact(epsilon, x.dtype))
            return x - _setting(learning_rate, x.dtype) * g / root

        nu = _map(average, state.nu, gradients)
        return _map(step, parameters, gradients, nu), RMSPropState(nu)

    return Optimizer(init, update)


def adam(
    learning_rate: float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> Optimizer:
    """Adam: momentum's direction with RMSProp's step size, both bias-corrected.

    | t <- t + 1
    | mu <- beta_1 * mu + (1 - beta_1) * g
    | nu <- beta_2 * nu + (1 - beta_2) * g^2
    | rate <- learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
    | x <- x - rate * mu / (sqrt(nu) + epsilon)

    Kingma and Ba (2015), Adam: a method for stochastic optimization, algorithm 1 in the
    order given at the end of section 2. The paper calls mu and nu m and v.

    Args:
        learning_rate: Step size, in parameters: no step is much longer; more than 0.
        beta_1: Share of the average of gradients that is kept; in [0, 1).
        beta_2: Share of the average of squared gradients that is kept; in [0, 1).
        epsilon: The paper's epsilon-hat, in gradients; more than 0. As in Keras, it is
            added after the root of the nu that still has its bias; algorithm 1's
            epsilon is epsilon / sqrt(1 - beta_2^t).

    Raises:
        ValueError: An argument is outside its range.

    Example:
        >>> adapt = adam(0.1)
        >>> x = tf.constant(1.0)
        >>> x, state = adapt.update(tf.constant(50.0), adapt.init(x), x)
        >>> round(float(x), 5), int(state.step)  # a first step is learning_rate long
        (0.9, 1)
    """
    settings = check_settings(
        learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon
    )

    def init(parameters: Tree) -> AdamState:
        zeros = _map(tf.zeros_like, check_parameters(parameters, settings))
        return AdamState(tf.zeros([], tf.int64), zeros, zeros)

    def update(gradients: Tree, state: AdamState, parameters: Tree) -> Tree:
        gradients, state, parameters = check_update(
            gradients, state, parameters, AdamState, settings
        )
        count = state.step + 1

        def average(old: tf.Tensor, new: tf.Tensor, beta: float) -> tf.Tensor:
            return old + (new - old) * _exact(1 - beta, new.dtype)

        def step(x: tf.Tensor, mu: tf.Tensor, nu: tf.Tensor) -> tf.Tensor:
            t = tf.cast(count, x.dtype)
            power_1 = tf.pow(_setting(beta_1, x.dtype), t)
            power_2 = tf.pow(_setting(beta_2, x.dtype), t)
            rate = _setting(learning_rate, x.dtype) * tf.sqrt(1 - power_2)
            rate = rate / (1 - power_1)
            return x - mu * rate / (tf.sqrt(nu) + _exact(epsilon, x.dtype))

        mu = _map(lambda mu, g: average(mu, g, beta_1), state.mu, gradients)
        squares = _map(tf.square, gradients)
        nu = _map(lambda nu, square: average(nu, square, beta_2), state.nu, squares)
        return _map(step, parameters, mu, nu), AdamState(count, mu, nu)

    return Optimizer(init, update)
