"""The Slurm profile, without Slurm; tests/slurm/ has a real one."""

import re

import yaml

from tests import ROOT


def test_the_profile_names_rules_that_exist():
    text = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk")
    )
    rules = set(re.findall(r"^ *rule (\w+):", text, re.M))
    profile = yaml.safe_load(
        (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
    )
    for key in ("set-threads", "groups", "set-resources"):
        assert profile[key].keys() <= rules, key
    assert set(profile["group-components"]) <= set(profile["groups"].values())
    # Whatever runs a network: its threads must not depend on the machine.
    networks = {
        rule for rule in rules if re.match("train|save|prune|run_pruning|score_c", rule)
    }
    assert networks == set(profile["set-threads"])
