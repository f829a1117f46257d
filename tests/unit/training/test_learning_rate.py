import pytest

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


def test_a_cosine_ends_at_its_final_rate():
    def rate(step):
        return learning_rate(
            step, 1000, peak=0.2, schedule="cosine", warmup=100, final=0.1
        )

    rates = [rate(step) for step in range(100, 1000)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[450] == pytest.approx((0.2 + 0.02) / 2)
    assert rates == sorted(rates, reverse=True)
    assert 0.02 < rates[-1] < 0.0201
