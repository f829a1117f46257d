from pathlib import Path

import pytest

from shears.runtime.code_digest import code_digest, source_files

ROOT = Path(__file__).parents[3]


def names(script: str) -> set[str]:
    files = source_files(ROOT / f"scripts/{script}.py", ROOT)
    return {str(file.relative_to(ROOT)) for file in files}


def test_imports_are_followed_through_modules(tmp_path):
    package = tmp_path / "shears"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "a.py").write_text(
        "def f():\n    from shears import b\n", encoding="utf-8"
    )
    (package / "b.py").write_text(
        "import numpy\nimport shears.c as c\n", encoding="utf-8"
    )
    (package / "c.py").write_text("from shears.a import f\n", encoding="utf-8")
    (package / "d.py").write_text("", encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text("from shears.a import f\n", encoding="utf-8")
    files = [file.name for file in source_files(script, tmp_path)]
    assert files == ["script.py", "__init__.py", "a.py", "b.py", "c.py"]


@pytest.mark.parametrize(
    ("edit", "counts"),
    [
        (lambda text: text + "# a comment\n", False),
        (lambda text: text.replace('"""Doc."""', '"""Other words."""'), False),
        (lambda text: text.replace('"""Doc."""', ""), False),
        (lambda text: text.replace("x = 1\n", 'x = 1\n    """Of x."""\n'), False),
        (lambda text: text.replace("bad", "wrong"), False),
        (lambda text: text.replace("{x}", "{x + 1}"), False),
        (lambda text: text.replace("working", "at work"), False),
        (lambda text: text.replace("    log.info('working')\n", ""), False),
        (lambda text: text.replace("ValueError", "TypeError"), True),
        (lambda text: text.replace("if x < 0", "if x < 1"), True),
        (lambda text: text.replace("x = 1", "x  =  (1)"), False),
        (lambda text: text.replace("x = 1", "x = 1.0"), True),
        (lambda text: text.replace('"text"', '"other"'), True),
        (lambda text: text + "def g(): pass\n", True),
    ],
)
def test_code_counts_but_comments_docstrings_and_wording_do_not(tmp_path, edit, counts):
    module, script = tmp_path / "shears/a.py", tmp_path / "script.py"
    module.parent.mkdir()
    module.write_text(
        '"""Doc."""\nclass A:\n    """Doc."""\n    x = 1\n'
        'def f(x):\n    """Doc."""\n    log.info('
        "'working')\n    if x < 0:\n        raise ValueError(f'bad {x}')\n"
        '    return "text"\n',
        encoding="utf-8",
    )
    script.write_text("from shears.a import f\n", encoding="utf-8")
    before = code_digest(script, tmp_path)
    module.write_text(edit(module.read_text(encoding="utf-8")), encoding="utf-8")
    assert (code_digest(script, tmp_path) != before) == counts


@pytest.mark.parametrize("name", ["errors", "job_log", "lock"])
def test_modules_that_write_no_result_do_not_count(tmp_path, name):
    module, script = tmp_path / f"shears/runtime/{name}.py", tmp_path / "script.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1\n", encoding="utf-8")
    script.write_text(f"from shears.runtime.{name} import x\n", encoding="utf-8")
    before = code_digest(script, tmp_path)
    module.write_text("x = 2\n", encoding="utf-8")
    assert code_digest(script, tmp_path) == before


def test_the_baseline_does_not_depend_on_pruning_nor_a_round_on_the_report():
    assert "shears/training/loop.py" in names("train_baseline")
    assert "shears/pruning/masks.py" not in names("train_baseline")
    assert "shears/pruning/masks.py" in names("prune_round")
    assert "shears/reporting/report.py" not in names("prune_round")


def test_nothing_submitted_depends_on_the_teachers_network():
    for script in ("train_baseline", "prune_round", "score_candidate"):
        assert "shears/model/teacher.py" not in names(script)
    assert "shears/pruning/masks.py" not in names("train_teacher")


@pytest.mark.parametrize(
    "script", ["choose_submission", "score_report", "download_cifar10"]
)
def test_jobs_that_compute_nothing_do_not_start_tensorflow(script):
    assert "shears/runtime/backend.py" not in names(script)


def test_the_library_knows_nothing_of_snakemake():
    for file in (ROOT / "shears").rglob("*.py"):
        assert "import snakemake" not in file.read_text(encoding="utf-8").lower()
        assert "from snakemake" not in file.read_text(encoding="utf-8").lower()
