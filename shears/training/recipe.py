"""A recipe: how weights are trained."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from shears.runtime.errors import UserError, brief, show_value, unknown_name
from shears.runtime.settings import Crop, Fraction, Settings


class Recipe(Settings):
    """How weights are trained."""

    # `extend_recipes` follows it before recipes are checked. It is no setting of the
    # training.
    extends: Annotated[str, Field(exclude=True)] = ""
    """Another recipe, which sets the keys that this one leaves out."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 24
    """Passes over the training images."""

    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 128
    """Images per step."""

    optimizer: Literal["adam", "sgd"] = "adam"
    """The optimizer."""

    learning_rate: Annotated[float, Field(gt=0, le=10)]
    """The peak learning rate."""

    schedule: Literal["constant", "cosine"] = "cosine"
    """How the learning rate changes over the epochs."""

    final_rate: Fraction = 0.0
    """Fraction of the peak learning rate at which a cosine ends."""

    warmup_epochs: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Epochs over which the learning rate rises linearly to its peak."""

    beta_1: Fraction = 0.9
    """Adam's decay rate of the first moment."""

    beta_2: Fraction = 0.999
    """Adam's decay rate of the second moment."""

    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-7
    """Adam's epsilon-hat."""

    momentum: Fraction = 0.0
    """Momentum of sgd."""

    nesterov: bool = False
    """Whether sgd's momentum is Nesterov's."""

    lookahead: bool = False
    """Whether weights step back towards their moving average every five steps."""

    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Decoupled weight decay, multiplied by the learning rate."""

    decay: Literal["all", "kernels"] = "all"
    """What weight decay acts on; kernels spares biases, gamma and beta."""

    label_smoothing: Fraction = 0.0
    """Fraction of the target that is spread over all classes."""

    dropout: Annotated[
        tuple[Fraction, ...], Field(strict=False, min_length=3, max_length=3)
    ] = (0.25, 0.25, 0.5)
    """Dropout rates after the two poolings and the dense layer."""

    flip: bool = False
    """Whether half of the images are mirrored; with a teacher, views: flip decides."""

    crop: Crop = 0
    """Largest shift in pixels, edges reflected; with a teacher, views: crop decides."""

    normalise: bool = False
    """Whether pixels are normalised; this is folded into the first layer at the end."""

    batch_norm: bool = False
    """Whether hidden layers have batch norm while training; folded at the end."""

    distillation: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Weight of the soft targets in the loss, if there is a teacher."""

    temperature: Annotated[float, Field(gt=0, le=1000)] = 3.0
    """Divisor of the logits in the soft targets' part of the loss."""

    ema_decay: Fraction = 0.0
    """Decay per step of the average of weights since the last mask; 0 for none."""

    views: Annotated[int, Field(ge=0, le=1000)] = 0
    """Views of each image that are used of those a teacher has; 0 for all."""


LONGEST_CHAIN = 100  #: recipes, each of which extends the next


def extend_recipes(recipes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Gives recipes the keys that they take from those they extend.

    Args:
        recipes: As read from YAML, by name. What is no recipe is left as it is.

    Raises:
        UserError: A recipe extends one that does not exist, or itself by way of others.
    """

    def fill(name: Any, passed: tuple[Any, ...]) -> Any:
        recipe = recipes[name]
        base = recipe.get("extends") if isinstance(recipe, Mapping) else None
        if not base or not isinstance(base, str):
            return recipe
        key = f"recipes: {brief(name)}: extends"
        if base not in recipes:
            raise unknown_name(key, base, "recipes", map(str, recipes))
        if base in (*passed, name):
            raise UserError(
                f"{key}: found {show_value(base)}, expected a recipe that does not "
                "itself extend this one"
            )
        if len(passed) == LONGEST_CHAIN:
            raise UserError(
                f"{key}: found a chain of more than {LONGEST_CHAIN} recipes, expected "
                "fewer"
            )
        filled = fill(base, (*passed, name))
        return {**filled, **recipe} if isinstance(filled, Mapping) else recipe

    return {name: fill(name, ()) for name in recipes}
