import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.schedules import cubic_sparsity, learning_rate, zeros_by_step


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
)
def test_zeros_rise_to_exactly_the_end_within_the_round(
    start, more, steps, ramp, updates
):
    plan = zeros_by_step(start, start + more, steps=steps, ramp=ramp, updates=updates)
    at, zeros = list(plan), list(plan.values())
    assert at[0] == 0
    assert at == sorted(at)
    assert at[-1] <= min(ramp * steps, steps - 1)
    assert zeros == sorted(zeros)
    assert zeros[0] >= start
    assert zeros[-1] == start + more


def test_no_ramp_is_one_cut():
    assert zeros_by_step(10, 90, steps=100, ramp=0, updates=40) == {0: 90}
