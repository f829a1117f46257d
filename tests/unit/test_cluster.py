"""The Slurm profile, without Slurm; tests/slurm/ has a real one."""

import re
from pathlib import Path

import pytest
import yaml

from shears.runtime.machine import find_gpus

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("partitions", "partition", "expected"),
    [
        ("main* gpu:a100:4", "", 1),
        ("main* (null)", "", 0),
        ("main* (null)\ngpu gpu:4", "", 0),  # jobs go to the default partition
        ("main* (null)\ngpu gpu:4", "gpu", 1),
        ("main* gpu:4\ncpu (null)", "cpu", 0),
        ("gpus (null)", "gpu", 0),
    ],
)
def test_gpus_are_those_of_the_partition(
    tmp_path, monkeypatch, partitions, partition, expected
):
    sinfo = tmp_path / "sinfo"
    sinfo.write_text(f"#!/bin/sh\nprintf '{partitions}\\n'\n")
    sinfo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SBATCH_PARTITION", partition)
    assert find_gpus(slurm=True) == expected


def test_the_profile_names_rules_that_exist():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^rule (\w+):", text, re.M))
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    for key in ("set-threads", "groups", "set-resources"):
        assert profile[key].keys() <= rules, key
    assert set(profile["group-components"]) <= set(profile["groups"].values())
    # Whatever runs a network: its threads must not depend on the machine.
    networks = {rule for rule in rules if re.match("train|save|prune|score_c", rule)}
    assert networks == set(profile["set-threads"])
