import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.pruning.mask_plan import MaskUpdate
from shears.pruning.schedule import cubic_sparsity, schedule_masks


def test_cubic_sparsity_by_hand():
    assert cubic_sparsity(0, 0.5, 0.9) == pytest.approx(0.5)
    assert cubic_sparsity(0.5, 0.5, 0.9) == pytest.approx(0.9 - 0.4 / 8)
    assert cubic_sparsity(1, 0.5, 0.9) == 0.9


@given(
    start=st.integers(0, 10**6),
    more=st.integers(1, 10**6),
    steps=st.integers(1, 5000),
    end_step=st.floats(0, 1),
    frequency=st.integers(1, 200),
    drop_fraction=st.sampled_from([0.0, 0.3]),
    dynamic=st.booleans(),
)
def test_zeros_rise_to_exactly_the_end_within_the_round(
    start, more, steps, end_step, frequency, drop_fraction, dynamic
):
    plan = schedule_masks(
        start,
        start + more,
        steps=steps,
        end_step=end_step,
        update_count=frequency,
        drop_fraction=drop_fraction,
        dynamic=dynamic,
    )
    at, zeros = list(plan), [update.zeros for update in plan.values()]
    assert at[0] == 0
    assert at == sorted(at)
    last = max(end_step, 0.75 if drop_fraction or dynamic else 0)
    assert at[-1] <= min(last * steps, steps - 1)
    assert zeros == sorted(zeros)
    assert zeros[0] >= start
    assert zeros[-1] == start + more
    dropped = [update.drop_fraction for update in plan.values()]
    assert dropped == sorted(dropped, reverse=True)
    assert all(0 <= fraction <= drop_fraction for fraction in dropped)


def test_an_end_at_step_0_is_one_shot():
    plan = schedule_masks(10, 90, steps=100, end_step=0, update_count=40)
    assert plan == {0: MaskUpdate(90)}


def test_drop_and_grow_continues_after_the_end_and_falls_like_half_a_cosine():
    plan = schedule_masks(
        0, 90, steps=400, end_step=0.25, update_count=10, drop_fraction=0.4
    )
    assert max(plan) > 250
    assert plan[0].drop_fraction == 0.4
    assert plan[160] == MaskUpdate(
        90, pytest.approx(0.2 * (1 + math.cos(math.pi * 160 / 300)))
    )


def test_dynamic_masks_continue_after_the_end_with_as_many_zeros():
    plan = schedule_masks(
        0, 90, steps=400, end_step=0.25, update_count=10, dynamic=True
    )
    assert 250 < max(plan) < 300
    assert {plan[step] for step in plan if step >= 100} == {MaskUpdate(90)}
