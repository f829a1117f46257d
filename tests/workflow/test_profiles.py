"""The profiles, without Slurm; tests/slurm/ has a real one."""

import re

import pytest
import yaml

from tests import ROOT
from tests.workflow.project import snakemake

BAD = {
    "no file": (None, "No such file or directory"),
    "not UTF-8": (b"seeds: \xff", "not a text file in UTF-8"),
    "an impossible date": (b"seeds: 2020-13-45", "cannot be read as timestamp"),
    "a value that is no bool": (b"tensorboard: !!bool x", "cannot be read as bool"),
    "a mapping in itself": (b"recipes: &a {x: *a}", "found more than 100 levels"),
    "a list": (b"- seeds", "expected a mapping of keys"),
}


@pytest.mark.parametrize("profile", ["default", "slurm"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_configfile_is_refused_in_a_line_before_snakemake_reads_it(
    kind, profile, tmp_path
):
    content, message = BAD[kind]
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_bytes(content)
    profile = f"{ROOT}/profiles/{profile}"
    arguments = ("-n", "-s", f"{ROOT}/Snakefile", "--workflow-profile", profile)
    run = snakemake(tmp_path, *arguments, "--configfile", "own.yaml")
    assert run.returncode == 1
    _, line = run.stdout.splitlines()  # the first one names the profile
    assert line.startswith("error: own.yaml: ")
    assert message in line


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
