"""The fuzzer, and a few of its mutants."""

import collections

import pytest

from shears.weight_files.reader import LIMITS
from tools import fuzz
from tools.fuzz import (
    ALLOWED,
    KINDS,
    LIBRARIES,
    Outcome,
    count,
    make_mutant,
    memory_of_children,
    try_mutant,
)

GOOD = {*ALLOWED}


def test_a_mutant_depends_on_the_seed_and_its_number_only():
    for number in range(len(KINDS)):
        assert make_mutant(0, number) == make_mutant(0, number)
        assert make_mutant(0, number) != make_mutant(1, number)
        assert make_mutant(0, number)[0] == list(KINDS)[number]


@pytest.mark.slow
def test_no_mutant_reaches_the_caller(tmp_path):
    outcomes = fuzz.fuzz(seed=7, mutants=200 * len(KINDS), folder=tmp_path)
    results = collections.Counter(outcome.result for outcome in outcomes)
    assert results.keys() <= GOOD, results
    assert results["accepted"] and results["refused"]
    assert [path.name for path in tmp_path.iterdir()] == ["outcomes-7.jsonl"]


def test_a_stopped_run_continues_and_a_broken_rule_is_kept(tmp_path, monkeypatch):
    lines = [f'["structure", {number}, "refused", 1]' for number in range(9)]
    text = "\n".join([*lines, '["structure", 9, "ref'])
    (tmp_path / "outcomes-0.jsonl").write_text(text, encoding="utf-8")
    outcomes = fuzz.fuzz(seed=0, mutants=9, folder=tmp_path)
    assert sorted(outcome.number for outcome in outcomes) == list(range(9))

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(fuzz, "read_weights_file", fail)
    outcome = try_mutant(0, 3, tmp_path)
    assert outcome.result == "traceback: ZeroDivisionError()"
    (kept,) = tmp_path.glob("0-3-*")
    assert kept.read_bytes() == make_mutant(0, 3)[2]


def test_weights_that_differ_between_readings_are_noticed(monkeypatch):
    readings = iter(["a", "b"])

    def read(path, **_):
        contents = collections.namedtuple("Contents", "parameters")
        vector = collections.namedtuple("Parameters", "vector")
        return contents(vector(memoryview(next(readings).encode())))

    monkeypatch.setattr(fuzz, "read_weights_file", read)
    assert try_mutant(0, 0).result == "a second reading differs"


def test_the_limit_of_memory_is_looked_at():
    most = LIMITS.memory + LIBRARIES
    assert try_mutant(0, 0, memory=lambda: most).result in GOOD
    assert try_mutant(0, 0, memory=lambda: most + (1 << 20)).result == "took 1,025 MiB"
    assert memory_of_children() > 1 << 20  # those that the first two have started


def test_outcomes_are_counted_by_kind():
    first, second, *_ = KINDS
    outcomes = [Outcome(first, 0, "refused", 1), Outcome(first, 1, "refused", 1)]
    table = count([*outcomes, Outcome(second, 2, "traceback", 1)])
    assert f"| {first} | 0 | 2 | 0 | 0 | 0 |" in table
    assert f"| {second} | 0 | 0 | 0 | 0 | 1 |" in table
