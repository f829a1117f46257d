"""Stages that write text do so in any locale, and write the same."""

import shutil
import subprocess

import pytest

from tests.workflow.project import snakemake

LOCALES = {
    "en_US.ISO-8859-1": ["-i", "en_US", "-f", "ISO-8859-1"],
    "tr_TR.ISO-8859-9": ["-i", "tr_TR", "-f", "ISO-8859-9"],
    "C": None,  # ASCII; every system has it
}
MADE_AGAIN = ("optimizers/losses.svg", "choice.json", "report.html")


def environment(name: str, folder: str) -> dict[str, str]:
    """Makes a locale in a folder; returns what a process needs to be in it."""
    definition = LOCALES[name]
    if definition:
        command = ["localedef", *definition, f"{folder}/{name}"]
        if not shutil.which("localedef") or subprocess.run(command).returncode:
            pytest.skip(f"{name} cannot be made on this system")
    # Otherwise Python takes UTF-8 in the C locale.
    return {
        "LOCPATH": str(folder),
        "LC_ALL": name,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES)
def test_a_run_ends_well_in_any_locale(locale, shared_run, tmp_path):
    variables = environment(locale, str(tmp_path))
    folder = tmp_path / "project"
    shutil.copytree(shared_run.folder, folder, symlinks=True)
    for name in MADE_AGAIN:
        (folder / "results" / name).unlink()
    # Two measurements of latency give no equal charts.
    again = snakemake(folder, "--config", "latency={runs: 0}", **variables)
    assert again.returncode == 0, again.stdout[-3000:]
    page = (folder / "results/report.html").read_text(encoding="utf-8")
    assert 'content: " ✓"' in page
    charts = [path.relative_to(folder) for path in folder.glob("results/figures/*.svg")]
    assert charts
    for path in (*charts, "results/optimizers/losses.svg", "results/choice.json"):
        assert (folder / path).read_bytes() == (shared_run.folder / path).read_bytes()
