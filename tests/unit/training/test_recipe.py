import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shears.training.recipe import Recipe

fractions = st.floats(0, 1, exclude_max=True)


def test_only_the_learning_rate_must_be_given():
    required = [name for name, f in Recipe.model_fields.items() if f.is_required()]
    assert required == ["learning_rate"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("epochs", 0), ("epochs", 2.5), ("batch_size", 0), ("optimizer", "adamw")),
        *(("learning_rate", 0), ("learning_rate", -1e-3), ("learning_rate", 11)),
        *(("schedule", "linear"), ("warmup_epochs", -1), ("beta_1", 1), ("beta_2", 1)),
        *(("epsilon", 0), ("momentum", 1), ("weight_decay", -0.1), ("crop", 16)),
        *(("label_smoothing", 1), ("dropout", (0.1, 0.1)), ("dropout", [0.1] * 4)),
        *(("flip", 1), ("normalise", "true"), ("batch_norm", None)),
        *(("distillation", 1.1), ("temperature", 0), ("ema_decay", 1)),
        *(("final_rate", 1), ("decay", "none")),
    ],
)
def test_what_nobody_can_train_with_is_refused_by_its_key(key, value):
    with pytest.raises(ValidationError) as caught:
        Recipe(**{"learning_rate": 0.1, key: value})
    assert [problem["loc"] for problem in caught.value.errors()] == [(key,)]


@given(
    recipe=st.builds(
        Recipe,
        learning_rate=st.floats(0, 10, exclude_min=True),
        epochs=st.integers(1, 10_000),
        optimizer=st.sampled_from(["adam", "sgd"]),
        dropout=st.tuples(fractions, fractions, fractions),
        distillation=st.floats(0, 1),
        ema_decay=fractions,
        final_rate=fractions,
        decay=st.sampled_from(["all", "kernels"]),
        batch_norm=st.booleans(),
    )
)
def test_a_recipe_is_the_same_after_json(recipe):
    """That is how it comes to a job, and into the key of its checkpoint."""
    text = json.dumps(recipe.model_dump(mode="json"), allow_nan=False)
    assert Recipe(**json.loads(text)) == recipe
