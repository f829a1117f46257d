"""The real DAG on small data: one whole run, then dry runs after edits."""

import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import pytest
import yaml

from shears.data.dataset import read_split
from shears.notebooks.files import read_notebook
from shears.pruning.masks import zeros_for
from shears.weight_files.canonical import read_weights
from tests import ROOT
from tests.configurations import CONFIG
from tests.grade import grade
from tests.workflow.project import copy_project, edited, jobs, snakemake
from tools.write_figures import draw_graph

AFTERWARDS = {
    "choose_submission": 1,
    "measure_latency": 1,
    "package_submission": 1,
    "pack_submission": 1,
    "score_report": 1,
    "all": 1,
}


def test_a_whole_run_makes_a_submission_that_a_grader_scores_the_same(finished):
    project, _ = finished
    manifest = json.loads(
        (project / "results/submission/manifest.json").read_text(encoding="utf-8")
    )
    submission = project / "results/submission/my_model_weights.h5"
    graded = grade(str(submission), str(project / "results/dataset.h5"))
    assert graded["score"] == pytest.approx(manifest["test"]["score"], abs=1e-9)
    assert graded["accuracy"] > 0.85
    assert graded["zeros"] == manifest["zeros"] == zeros_for(0.9)
    assert manifest["candidate"] == "lamp/seed_0/round_2"
    assert "<h1>Score report</h1>" in (project / "results/report.html").read_text(
        encoding="utf-8"
    )


def test_progress_can_be_followed_on_the_terminal_and_in_the_log(finished):
    project, output = finished
    line = (
        r"epoch 1/4  loss \d+\.\d+  validation accuracy 0.\d+  .*images/s  \d:\d+ left"
    )
    assert re.search(line, output)
    assert re.search(
        line,
        (project / "logs/dense/seed_0/train_baseline.log").read_text(encoding="utf-8"),
    )
    with (project / "results/dense/seed_0/history.csv").open(encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


def test_settings_can_be_searched_on_a_finished_run(finished):
    project, _ = finished
    command = f"-m tools.search --run {project} --trials 1 --images 128 --epochs 1"
    run = subprocess.run(
        [sys.executable, *command.split()],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    (project / "results/search.journal").unlink()
    assert run.returncode == 0, run.stderr[-3000:]
    assert re.search(r"^1 trials of 0.98 .*\n0\.\d+ +\{'", run.stdout, re.M)


def test_rounds_have_exact_zeros_and_pruned_weights_stay_pruned(finished):
    project, _ = finished
    before = None
    for number, sparsity in ((1, 0.8), (2, 0.9)):
        weights = read_weights(
            project / f"results/lamp/seed_0/round_{number}/weights.h5"
        )
        zero = weights.vector == 0
        assert zero.sum() == zeros_for(sparsity)
        if before is not None:
            assert zero[before].all()
        before = zero


def test_memory_stays_below_4_gib(finished):
    project, _ = finished
    tables = list((project / "benchmarks").rglob("*.tsv"))
    assert len(tables) == 25  # every job
    for table in tables:
        (row,) = csv.DictReader(table.open(encoding="utf-8"), delimiter="\t")
        # A job may end before Snakemake measures it; training does not.
        least = 100 if table.stem.startswith(("train", "prune")) else 0
        memory = 0 if row["max_rss"] == "NA" else float(row["max_rss"])
        assert least <= memory < 4096  # MiB


def test_nothing_is_left_to_do(finished):
    project, _ = finished
    assert jobs(project) == {}


def test_editing_the_last_rounds_sparsity_reruns_it_and_what_follows(finished):
    project, _ = finished
    with edited(project / "config.yaml", "sparsity: 0.9", "sparsity: 0.91"):
        expected = {"prune_round": 1, "score_candidate": 1, **AFTERWARDS}
        assert jobs(project) == expected
        planned = snakemake(project, "-n").stdout
        assert "Pruning with lamp to a sparsity of 0.91 in" in planned
        assert "Pruning with lamp to a sparsity of 0.8 in" not in planned


def test_the_choice_does_not_depend_on_test_scores(finished):
    project, _ = finished
    paths = list((project / "results").rglob("score_test.json"))
    assert len(paths) == 3
    for path in paths:
        with edited(path, '"correct": ', '"correct": 9'):
            expected = dict(AFTERWARDS)
            del expected["choose_submission"], expected["measure_latency"]
            assert jobs(project) == expected


def test_one_round_can_be_rerun(finished):
    project, _ = finished
    again = jobs(project, "--forcerun", "results/lamp/seed_0/round_2/weights.h5")
    assert again == {"prune_round": 1, "score_candidate": 1, **AFTERWARDS}


def test_one_cell_of_the_optimizer_study_can_be_rerun(finished):
    project, _ = finished
    again = jobs(project, "--forcerun", "results/optimizers/diabetes/adam.ours.json")
    expected = {"benchmark_optimizer": 1, "plot_optimizers": 1, "score_report": 1}
    assert again == {**expected, "all": 1}


def test_part_a_is_in_the_report_and_its_notebook_in_the_submission(finished):
    project, _ = finished
    report = (project / "results/report.html").read_text(encoding="utf-8")
    assert "Part A: the optimizers</h2>" in report
    assert report.count("AdaGrad, one sample</td>") >= 1
    table = json.loads(
        (project / "results/optimizers/table.json").read_text(encoding="utf-8")
    )
    assert len(table["lines"]) == 6
    for line in table["lines"]:
        assert line["updates"] == line["keras_updates"]
        assert line["difference"] < 1e-5
    notebook = read_notebook(project / "results/submission/assignment_notebook.ipynb")
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert not any(output.output_type == "error" for output in outputs)


def test_part_bs_notebook_is_executed_on_the_dense_network(finished):
    project, _ = finished
    notebook = read_notebook(project / "results/pruning_notebook.ipynb")
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    printed = "".join(output.get("text", "") for output in outputs)
    assert "reading dataset.h5\n" in printed and "loading weights.h5\n" in printed
    assert "1,188,315 of 1,250,858 weights are zero, score 0.9" in printed
    assert "this cell is skipped: No module named 'shears'" in printed
    text = (project / "results/pruning_notebook.ipynb").read_text(encoding="utf-8")
    for path in (project, tempfile.gettempdir(), sys.prefix):
        assert f"{path}/" not in text


def test_the_zip_file_has_the_submission_and_instructions(finished):
    project, _ = finished
    folder = project / "results/submission"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    with zipfile.ZipFile(project / "results/submission.zip") as archive:
        names = ["my_model_weights.h5", "assignment_notebook.ipynb", "manifest.json"]
        assert archive.namelist() == [*names, "README.txt"]
        for name in names:
            assert archive.read(name) == (folder / name).read_bytes()
        text = archive.read("README.txt").decode()
    assert f"score     {manifest['test']['score']:.4f}" in text
    assert manifest["sha256"] in text
    assert "Part A: upload assignment_notebook.ipynb" in text


def test_snakemakes_own_report_has_categories_and_captions(finished, tmp_path):
    project, _ = finished
    run = snakemake(project, "--report", str(tmp_path / "report.html"))
    assert run.returncode == 0, run.stdout
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("Submission", "Figures", "What to hand in and why", "scores: a chart"):
        assert text in page, text


def test_part_a_can_be_left_out(project, tmp_path):
    without = copy_project(tmp_path / "without", optimizers={"data_sets": []})
    planned = jobs(without)
    assert not {"benchmark_optimizer", "plot_optimizers", "run_notebook"} & set(planned)
    assert planned["score_report"] == 1


def test_the_shipped_configurations_plan_the_whole_workflow(project, tmp_path):
    whole = copy_project(tmp_path / "whole")
    shutil.copy2(ROOT / "config.yaml", whole)
    planned = jobs(whole)
    assert planned["download_cifar10"] == planned["train_baseline"] == 1
    assert planned["train_teacher"] == 1
    assert planned["save_teacher_logits"] == 2  # 32 views, in files of 16
    assert planned["score_candidate"] == planned["prune_round"] + 1
    demo = jobs(whole, "--configfile", "config/demo.yaml")
    assert "download_cifar10" not in demo
    assert demo["prune_round"] >= 2


def test_all_methods_and_several_seeds_are_planned_with_one_teacher(tmp_path):
    methods = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))[
        "methods"
    ]
    changed = {"lamp": {"teacher": "own"}}
    project = copy_project(
        tmp_path / "all", seeds=[0, 1, 2], run=list(methods), methods=changed
    )
    planned = jobs(project)
    assert planned["train_teacher"] == planned["save_teacher_logits"] == 1
    assert planned["train_baseline"] == planned["save_baseline_logits"] == 3
    assert planned["prune_round"] == 3 * len(methods) * 2
    assert planned["score_candidate"] == planned["prune_round"] + 3


def test_without_a_teacher_its_recipe_may_be_missing(tmp_path):
    project = copy_project(
        tmp_path / "alone",
        baselines={"dense": {"teacher": "none"}},
        pruning={"teacher": "none"},
        teacher={"recipe": "none_at_all"},
    )
    planned = jobs(project)
    assert not {"train_teacher", "save_teacher_logits"} & set(planned)
    assert planned["train_baseline"] == 1


def test_an_unconfigured_round_is_refused_plainly(project):
    run = snakemake(project, "-n", "results/lamp/seed_0/round_3/weights.h5")
    assert run.returncode == 1
    assert "round_3" in run.stdout
    assert "Traceback" not in run.stdout
    assert "IndexError" not in run.stdout


def test_a_method_can_use_its_baseline_as_teacher_and_anothers_masks(
    finished, tmp_path
):
    project = shutil.copytree(finished[0], tmp_path / "project", symlinks=True)
    with (project / "config.yaml").open(encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config["methods"]["mask_from_scratch"]["teacher"] = "own"
    config["run"] = ["mask_from_scratch"]
    (project / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    run = snakemake(project, "results/mask_from_scratch/seed_0/round_2/weights.h5")
    assert run.returncode == 0, run.stdout
    # The first round is not needed: each starts from the initial weights.
    assert run.stdout.count("Execute 1 jobs") == 2
    assert "save_baseline_logits dense: computed the logits of view 2/2" in run.stdout
    zero = [
        read_weights(path).vector == 0
        for path in (project / "results").glob("*/seed_0/round_2/weights.h5")
    ]
    assert len(zero) == 2
    np.testing.assert_array_equal(*zero)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("seeds:", "seads:", "unknown key 'seads'; did you mean seeds?"),
        ("epochs: 1", "epochs: 0", "epochs: found 0, expected at least 1"),
        ("sparsity: 0.9", "sparsity: 0.7", "sparsities must rise"),
        (
            "recipe: finetune",
            "recipe: weak",
            "found 'weak', expected one of the recipes",
        ),
        ("precision: auto", "precision: [auto", "config.yaml: line "),
    ],
)
def test_a_bad_configuration_is_reported_plainly(project, before, after, message):
    with edited(project / "config.yaml", before, after):
        run = snakemake(project, "-n")
    assert run.returncode != 0
    assert message in run.stdout
    assert "Traceback" not in run.stdout
    assert len(run.stdout.splitlines()) <= 8, run.stdout


def test_a_folder_may_be_named_by_a_variable_or_by_the_home_folder(project, tmp_path):
    for name, given in (("PLACE", "$PLACE/x"), ("HOME", "~/x")):
        run = snakemake(
            project, "-n", "--config", f"directory={given}", **{name: str(tmp_path)}
        )
        assert run.returncode == 0, run.stdout
        assert f" {tmp_path}/x/results/dataset.h5" in run.stdout
    run = snakemake(project, "-n", "--config", "directory=$SHEARS_NONE/x")
    assert run.returncode == 1
    assert "error: directory: found $SHEARS_NONE/x, but the environment" in run.stdout
    assert not list(project.glob("[$~]*"))
    run = snakemake(
        project, "resources/cifar-10-binary.tar.gz", CIFAR10_ARCHIVE="$SHEARS_NONE/x"
    )
    assert run.returncode == 1
    assert "error: CIFAR10_ARCHIVE: found $SHEARS_NONE/x, but the envi" in run.stdout
    assert "Fetching the CIFAR-10 archive" not in run.stdout


def test_the_archive_becomes_the_data_set_through_the_workflow(tmp_path, good_archive):
    project = copy_project(tmp_path / "cifar")
    shutil.copy2(ROOT / "config.yaml", project)
    run = snakemake(project, "results/dataset.h5", CIFAR10_ARCHIVE=str(good_archive))
    assert run.returncode == 0, run.stdout
    held_out = CONFIG["data"]["validation_images"]
    sizes = {"train": 50_000 - held_out, "validation": held_out, "test": 10_000}
    for name, size in sizes.items():
        split = read_split(project / "results/dataset.h5", name)
        assert np.bincount(split.labels).tolist() == [size // 10] * 10


def test_an_archive_in_the_place_of_the_copy_is_not_removed(tmp_path):
    project = copy_project(tmp_path / "project")
    archive = project / "resources/cifar-10-binary.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(b"the user's only copy")
    run = snakemake(
        project, str(archive.relative_to(project)), "-F", CIFAR10_ARCHIVE=archive
    )
    assert run.returncode == 1
    assert f"error: CIFAR10_ARCHIVE={archive}: is the copy that this run" in run.stdout
    assert archive.read_bytes() == b"the user's only copy"


@pytest.mark.parametrize("name", ["none.tar.gz", "config.yaml"])
def test_a_bad_archive_is_reported_plainly_and_leaves_no_file(project, name):
    archive = project / name
    run = snakemake(
        project, "resources/cifar-10-binary.tar.gz", CIFAR10_ARCHIVE=str(archive)
    )
    assert run.returncode != 0
    assert f"error: CIFAR10_ARCHIVE={archive}" in run.stdout or (
        f"error: {archive}: not a whole tar.gz" in run.stdout
    )
    assert "Traceback" not in run.stdout
    assert run.stdout.count("download_cifar10: error: ") == 1  # once
    assert not any((project / "resources").glob("*"))


def test_lists_given_with_config_make_a_sweep(finished):
    project, _ = finished
    sweep = ["run=[lamp,erk]", "seeds=[0,1]", "with_recipes=[finetune,assignment]"]
    planned = jobs(project, "--config", *sweep)
    assert planned["train_baseline"] == 1  # seed 1's; that of seed 0 exists
    assert planned["prune_round"] == 2 * 2 * 2 * 2


def test_the_graph_in_the_readme_is_the_workflows():
    assert draw_graph() in (ROOT / "README.md").read_text(
        encoding="utf-8"
    )  # else: make figures
