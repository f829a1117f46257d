import copy
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.budget import (
    Cost,
    decide,
    describe,
    find_factor,
    keep_to_budget,
    list_trainings,
    parse_budget,
    scale,
    scale_epochs,
)
from shears.config import parse_configuration
from shears.plan import plan
from shears.runtime.errors import UserError
from shears.runtime.files import forget_checksum, read_json
from shears.training.speed import StepTime
from tests.configurations import CONFIG, check_all, merge

COSTS = st.lists(
    st.builds(Cost, st.just("a"), st.integers(1, 4000), st.floats(0.01, 1000)),
    min_size=1,
    max_size=6,
)


@given(st.integers(1, 9999), st.sampled_from([("min", 60), ("h", 3600)]))
def test_a_budget_is_read_in_its_unit(number, unit):
    assert parse_budget(f"{number}{unit[0]}") == number * unit[1]
    config = parse_configuration({**CONFIG, "budget": f"{number}{unit[0]}"})
    assert parse_budget(config.budget) == number * unit[1]


@given(st.floats(0.001, 9999).map(lambda x: f"{x:.3f}".rstrip("0").rstrip(".")))
def test_a_budget_may_have_a_fraction(number):
    config = parse_configuration({**CONFIG, "budget": f"{number}h"})
    assert parse_budget(config.budget) == pytest.approx(3600 * float(number))


@given(st.text(max_size=8))
def test_a_budget_is_read_or_refused_in_a_line(text):
    try:
        config = parse_configuration({**CONFIG, "budget": text})
    except UserError as error:
        assert str(error).startswith("budget: found") and "\n" not in str(error)
    else:
        assert not config.budget or parse_budget(config.budget) > 0


@given(COSTS, st.floats(-0.1, 1.1))
def test_epochs_fit_the_budget_or_are_one_each_and_never_grow(costs, share):
    seconds = share * sum(cost.epochs * cost.seconds for cost in costs)
    factor = find_factor(costs, seconds)
    assert 0 <= factor <= 1
    epochs = [scale_epochs(cost.epochs, factor) for cost in costs]
    assert all(1 <= n <= c.epochs for n, c in zip(epochs, costs, strict=True))
    used = sum(n * c.seconds for n, c in zip(epochs, costs, strict=True))
    # Those that were rounded up to one epoch are all that may exceed it.
    raised = sum(c.seconds for c in costs if c.epochs * factor < 1)
    assert used <= max(seconds, 0) * (1 + 1e-6) + raised + 1e-6
    # No more than an epoch each is given away.
    whole = sum(c.epochs * c.seconds for c in costs)
    slack = sum(c.seconds for c in costs)
    assert used >= min(max(seconds, 0), whole) - slack - 1e-6 * whole


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_factor_leaves_no_fewer_epochs(epochs, one, other):
    small, large = sorted((one, other))
    assert scale_epochs(epochs, small) <= scale_epochs(epochs, large)
    assert scale_epochs(epochs, 1.0) == epochs
    assert scale_epochs(epochs, 0.0) == 1


@given(st.floats(0, 1), st.integers(1, 30), st.floats(0, 5))
def test_a_scaled_configuration_passes_every_check_and_keeps_all_else(
    factor, epochs, warmup
):
    warmup = min(warmup, 0.99 * epochs)
    changes = {
        "recipes": {"strong": {"epochs": epochs, "warmup_epochs": warmup}},
        "methods": {"erk": {"rounds": [{"sparsity": 0.5, "epochs": epochs}]}},
    }
    config = merge(CONFIG, changes)
    config["methods"]["erk"]["recipe"] = "strong"
    before = check_all({**config, "run": ["lamp", "erk"]})
    after = plan(scale(before.config, factor))
    assert after.candidates == before.candidates
    for old, new in zip(list_trainings(before), list_trainings(after), strict=True):
        assert new.epochs == scale_epochs(old.epochs, factor)
    assert after.round_spec("lamp", 0, 2) == before.round_spec("lamp", 0, 2)
    if factor == 1:
        assert after.config == before.config


def measuring(per_image: float):
    calls = []

    def measure(steps, *, threads, gpus):
        calls.append(len(steps))
        return 2.0, [StepTime(1.0, per_image) for _ in steps]

    return measure, calls


def test_the_factor_is_decided_once_and_kept(tmp_path):
    planned = check_all({**copy.deepcopy(CONFIG), "budget": "30min"})
    file = tmp_path / "budget.json"
    slow, calls = measuring(1e-3)
    first = keep_to_budget(planned, file, threads=2, measuring=slow)
    assert calls == [2]  # the teacher; the baseline and the rounds are alike
    kept = file.read_bytes()
    fast, none = measuring(1e-5)
    for other in (fast, None):  # None: in a job
        again = keep_to_budget(planned, file, threads=2, measuring=other)
        assert again.config == first.config
    assert file.read_bytes() == kept and not none
    about = read_json(file)["30min"]
    assert 0 < about["factor"] < 1 and about["machine"] and about["date"]
    assert about["seconds"]["after"] <= 30 * 60 < about["seconds"]["before"]
    assert "lamp 1" in describe(planned, first, file)
    assert "the run fits 30min" in describe(planned, first, file)
    # Another budget is another decision.
    longer = check_all({**copy.deepcopy(CONFIG), "budget": "9999h"})
    whole = keep_to_budget(longer, file, threads=2, measuring=fast)
    assert whole.config == longer.config and none == [2]
    assert describe(longer, whole, file).endswith("all epochs stay")
    # The first one stays: a run may be going on with it.
    again = keep_to_budget(planned, file, threads=2, measuring=None)
    assert again.config == first.config


def test_a_budget_that_is_too_small_leaves_one_epoch_each_and_says_so(tmp_path):
    planned = check_all({**copy.deepcopy(CONFIG), "budget": "1min"})
    file = tmp_path / "budget.json"
    after = keep_to_budget(planned, file, threads=2, measuring=measuring(1e-3)[0])
    assert {row.epochs for row in list_trainings(after)} == {1}
    assert "the run does not fit 1min" in describe(planned, after, file)


def test_a_refit_and_more_seeds_cost_more():
    def before(**changes) -> float:
        config = {**copy.deepcopy(CONFIG), "budget": "1h", **changes}
        found = decide(check_all(config), threads=2, measuring=measuring(1e-3)[0])
        return found["seconds"]["before"]

    once = before()
    assert before(refit=True) == pytest.approx(2.1 * once, rel=0.1)
    assert before(seeds=[0, 1]) > 1.5 * once
    assert math.isfinite(before(run=[]))


def test_a_factor_for_other_settings_is_kept_but_not_said_to_fit(tmp_path):
    file = tmp_path / "budget.json"
    config = {**copy.deepcopy(CONFIG), "budget": "30min"}
    slow = measuring(1e-3)[0]
    keep_to_budget(check_all(config), file, threads=2, measuring=slow)
    more = check_all({**config, "seeds": [0, 1, 2, 3]})
    after = keep_to_budget(more, file, threads=2, measuring=None)
    said = describe(more, after, file)
    assert "fit" not in said and "as decided for other settings" in said
    assert "lamp 1" in said
    # A factor that was set by hand is taken, too.
    file.write_text('{"30min": 0.5}', encoding="utf-8")
    forget_checksum(file)
    after = keep_to_budget(more, file, threads=2, measuring=None)
    said = describe(more, after, file)
    assert "scaled for 30min by 0.5" in said and "other settings" not in said


def test_the_logits_of_a_baseline_that_teaches_take_time():
    def fixed(**pruning) -> float:
        config = merge(CONFIG, {"budget": "1h", "pruning": pruning, "seeds": [0, 1]})
        found = decide(check_all(config), threads=2, measuring=measuring(1e-3)[0])
        return found["seconds"]["fixed"]

    config = parse_configuration(copy.deepcopy(CONFIG))
    saved = config.views.count * plan(config).training_images
    more = fixed(teacher="own") - fixed(teacher="none")
    assert more == pytest.approx(2 * saved * 1e-3 / 3)


@pytest.mark.parametrize("content", ["[]", "3"])
def test_a_file_without_decisions_is_refused(tmp_path, content):
    planned = check_all({**copy.deepcopy(CONFIG), "budget": "1h"})
    file = tmp_path / "budget.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="budget.json: found .*, expected a decision"):
        keep_to_budget(planned, file, threads=2)


@pytest.mark.parametrize("factor", [2, -1, "much"])
def test_a_kept_factor_that_is_none_is_refused(tmp_path, factor):
    planned = check_all({**copy.deepcopy(CONFIG), "budget": "1h"})
    file = tmp_path / "budget.json"
    file.write_text(json.dumps({"1h": {"factor": factor}}), encoding="utf-8")
    with pytest.raises(UserError, match="budget.json: 1h: factor: found"):
        keep_to_budget(planned, file, threads=2)


def test_a_job_without_a_decision_measures_nothing(tmp_path):
    planned = check_all({**copy.deepcopy(CONFIG), "budget": "1h"})
    with pytest.raises(UserError, match="not found for a budget of 1h"):
        keep_to_budget(planned, tmp_path / "a.json", threads=2, measuring=None)
