"""Every method of config.yaml, on a handful of images."""

import numpy as np
import pytest
import yaml

from shears.config import parse_configuration
from shears.model.parameters import Parameters, initial_parameters
from shears.plan import plan
from shears.pruning.mask_plan import MaskUpdate
from shears.pruning.masks import make_mask, zeros_for
from shears.pruning.rounds import RoundSpec, plan_round
from shears.runtime.errors import UserError
from shears.training.loop import train_network
from shears.training.run_context import RunContext
from shears.weight_files.canonical import read_weights, write_weights
from tests import ROOT
from tests.conftest import make_parameters
from tests.unit.pruning.common import snapshot_of
from tests.unit.training.recipes import AUGMENTED, change, make_data

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
METHODS = list(CONFIG["methods"])
PLAN = plan(parse_configuration({**CONFIG, "run": METHODS}))
RECIPE = change(AUGMENTED, epochs=4, weight_decay=0.1, normalise=True)  # of 3 steps
UPDATE = MaskUpdate(zeros_for(0.97))


def spec_of(name: str) -> RoundSpec:
    spec = PLAN.round_spec(name, seed=1, number=1)
    changes = {"sparsity": 0.97, "update_count": 4, "seed": 3}
    return spec.model_copy(update=changes)


def pruned(parameters: Parameters, sparsity: float) -> Parameters:
    return parameters.masked(make_mask(parameters, zeros_for(sparsity)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "batch_norm"),
    [
        *((name, False) for name in METHODS),
        *(
            (name, True)
            for name in (
                "first_order",
                "second_moment",
                "rigl",
                "dynamic",
                "random_from_scratch",
                "structured",
            )
        ),
        ("lottery_ticket", True),
    ],
)
def test_a_round_of_every_method_is_exact_and_keeps_what_was_pruned(
    name, batch_norm, tmp_path
):
    previous, mask_source = pruned(make_parameters(0), 0.9), None
    if PLAN.methods[name].settings.mask_of:
        mask_source = pruned(make_parameters(1), 0.97)
    start, masks = plan_round(
        previous,
        spec_of(name),
        steps=12,
        batch_norm=batch_norm,
        mask_source=mask_source,
    )
    recipe, data = change(RECIPE, batch_norm=batch_norm), make_data()
    context = RunContext(precision="float32", seed=3)
    trained, _ = train_network(start, data, data, recipe, context, masks=masks)
    trained = trained.without_denormals()
    assert trained.count_zeros() == zeros_for(0.97)
    assert all(kernel.any() for kernel in trained.kernels)
    if mask_source is None and name not in ("rigl", "dynamic"):
        assert not trained.vector[previous.vector == 0].any()
    write_weights(tmp_path / "a.h5", trained)
    read = read_weights(tmp_path / "a.h5")
    assert read.vector.tobytes() == trained.vector.tobytes()


def test_a_lottery_ticket_starts_from_its_initial_weights():
    previous = pruned(make_parameters(0), 0.9)
    spec = spec_of("lottery_ticket")
    start, masks = plan_round(previous, spec, steps=9, batch_norm=False)
    (update,) = masks.updates.values()
    parameters, mask = masks.make_mask(snapshot_of(start), update)
    assert mask.count_zeros() == zeros_for(0.97)
    np.testing.assert_allclose(
        parameters.vector, initial_parameters(1).vector, atol=1e-5
    )
    # The mask is that of the trained weights: in each kernel their largest.
    for values, ones in zip(previous.kernels, mask.kernels, strict=True):
        assert np.abs(values)[ones == 0].max() <= np.abs(values)[ones == 1].min()


@pytest.mark.parametrize("name", ["mask_from_scratch", "random_from_scratch"])
def test_the_controls_take_the_mask_or_its_counts(name):
    source = pruned(make_parameters(1), 0.97)
    _, masks = plan_round(
        make_parameters(0),
        spec_of(name),
        steps=9,
        batch_norm=False,
        mask_source=source,
    )
    assert list(masks.updates.values()) == [UPDATE]
    _, mask = masks.make_mask(snapshot_of(make_parameters(0)), UPDATE)
    theirs = Parameters((source.vector != 0).astype(np.float32))
    same = (mask.vector == theirs.vector).all()
    assert same == (name == "mask_from_scratch")
    counts = [[int(array.sum()) for array in m.arrays] for m in (mask, theirs)]
    assert counts[0] == counts[1]


def test_a_mask_without_the_biases_that_batch_norm_needs_is_refused():
    source, spec = pruned(make_parameters(1), 0.97), spec_of("mask_from_scratch")
    units = np.flatnonzero(source.incoming(3).any(0))[:2]
    source.biases[3][units] = 0

    def plan_with(*, batch_norm: bool):
        return plan_round(
            make_parameters(0),
            spec,
            steps=9,
            batch_norm=batch_norm,
            mask_source=source,
        )

    plan_with(batch_norm=False)
    message = "2 units of conv2d_3 that .* made with batch_norm"
    with pytest.raises(UserError, match=message):
        plan_with(batch_norm=True)


def test_the_same_settings_make_the_same_masks():
    source, spec = pruned(make_parameters(1), 0.97), spec_of("random_from_scratch")
    one, two = (
        plan_round(
            make_parameters(0), spec, steps=9, batch_norm=False, mask_source=source
        )[1].make_mask(snapshot_of(make_parameters(0)), UPDATE)[1]
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.vector, two.vector)
