import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.pruning.schedule import MaskUpdate, cubic_sparsity, mask_updates
from shears.training.learning_rate import learning_rate


def test_cosine_falls_from_peak_to_nearly_zero():
    rates = [
        learning_rate(i, 100, peak=0.1, schedule="cosine", warmup=0) for i in range(100)
    ]
    assert rates[0] == 0.1
    assert rates[50] == pytest.approx(0.05)
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 1e-4


def test_warmup_rises_linearly_to_the_peak():
    rates = [
        learning_rate(i, 10, peak=1.0, schedule="constant", warmup=4) for i in range(10)
    ]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8] + [1.0] * 6)


def test_cubic_sparsity_by_hand():
    assert cubic_sparsity(0, 0.5, 0.9) == pytest.approx(0.5)
    assert cubic_sparsity(0.5, 0.5, 0.9) == pytest.approx(0.9 - 0.4 / 8)
    assert cubic_sparsity(1, 0.5, 0.9) == 0.9


@given(
    start=st.integers(0, 10**6),
    more=st.integers(1, 10**6),
    steps=st.integers(1, 5000),
    ramp=st.floats(0, 1),
    updates=st.integers(1, 200),
    regrowth=st.sampled_from([0.0, 0.3]),
)
def test_zeros_rise_to_exactly_the_end_within_the_round(
    start, more, steps, ramp, updates, regrowth
):
    plan = mask_updates(
        start, start + more, steps=steps, ramp=ramp, updates=updates, regrowth=regrowth
    )
    at, zeros = list(plan), [update.zeros for update in plan.values()]
    assert at[0] == 0
    assert at == sorted(at)
    last = max(ramp, 0.75 if regrowth else 0)
    assert at[-1] <= min(last * steps, steps - 1)
    assert zeros == sorted(zeros)
    assert zeros[0] >= start
    assert zeros[-1] == start + more
    shares = [update.exchanged for update in plan.values()]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share <= regrowth for share in shares)


def test_no_ramp_is_one_cut():
    plan = mask_updates(10, 90, steps=100, ramp=0, updates=40)
    assert plan == {0: MaskUpdate(90, 0.0)}


def test_regrowth_goes_on_behind_the_ramp_and_falls_like_half_a_cosine():
    plan = mask_updates(0, 90, steps=400, ramp=0.25, updates=10, regrowth=0.4)
    assert max(plan) > 250
    assert plan[0].exchanged == 0.4
    assert plan[160] == MaskUpdate(
        90, pytest.approx(0.2 * (1 + math.cos(math.pi * 160 / 300)))
    )
