import csv
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shears.classroom.leaderboard import (
    CACHE,
    KEPT,
    Leaderboard,
    describe,
    digest_images,
    write_leaderboard,
)
from shears.classroom.scoring import Scored
from shears.data.dataset import Split
from shears.runtime.errors import RefusedFile, UserError
from shears.runtime.files import checksum
from tests.unit.classroom.test_submissions import entry, export
from tests.unit.classroom.test_uploads import put

TEST = Split(np.zeros((20, 32, 32, 3), np.uint8), np.zeros(20, np.uint8))


class Scorer:
    """Stands in for `score_files`: a file's content is its score, or a refusal."""

    def __init__(self) -> None:
        self.calls: list[dict] = []
        self.known: dict[str, Scored] = {}

    def __call__(self, paths, test, **about):
        self.calls.append(about)
        for path in paths:
            sha256 = checksum(path)
            was_known = sha256 in self.known
            if not was_known:
                text = path.read_text(encoding="utf-8")
                values = {"refused": text}
                if text.startswith("0."):
                    test()
                    numbers = {"accuracy": 0.8, "sparsity": 0.9, "score": float(text)}
                    values = numbers | {"weights": text, "mask": "m"}
                scored = Scored(sha256, len(text), **values)
                if not scored.refused:
                    self.known[sha256] = scored
            yield path, self.known[sha256] if was_known else scored, was_known


@pytest.fixture
def class_(tmp_path) -> Path:
    for name, content in (("Ada", "0.9"), ("Bob", "0.8"), ("Cid", "no HDF5")):
        put(tmp_path / "class" / name / "my_model_weights.h5", content.encode())
    return tmp_path / "class"


def make(class_: Path, scorer=None, **options) -> Leaderboard:
    output = class_.parent / "out"
    score = scorer or Scorer()
    return write_leaderboard(class_, output, lambda: TEST, score=score, **options)


def rows(made: Leaderboard) -> dict[str, dict]:
    return {row["name"]: row for row in made.board["students"]}


def test_a_page_a_table_and_a_json_file_are_written(class_):
    made = make(class_)
    output = class_.parent / "out"
    assert made.page == output / "leaderboard.html"
    page = made.page.read_text(encoding="utf-8")
    assert "Ada" in page and "no HDF5" in page
    board = json.loads((output / "leaderboard.json").read_text(encoding="utf-8"))
    assert board == made.board and board["images"] == 20
    with (output / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["rank"], row["name"], row["refused"]) for row in table] == [
        ("1", "Ada", ""),
        ("2", "Bob", ""),
        ("", "Cid", "no HDF5"),
    ]
    assert not list(output.glob("pseudonyms*"))
    lines = describe(made)
    assert lines[1].split() == ["1", "Ada", "0.900000", "0.8000", "0.9000"]
    assert "students   3: 2 ranked, 1 refused; 3 uploads" in lines
    assert "files      3 read, 0 scores from the cache" in lines
    assert "note       this is the first leaderboard: it shows no changes" in lines
    assert lines[-1] == f"page       {made.page}"


def test_only_what_is_new_is_scored_and_changes_are_shown(class_):
    scorer = Scorer()
    make(class_, scorer)
    put(class_ / "Bob/my_model_weights.h5", b"0.95")
    put(class_ / "Dan.h5", b"0.1")
    again = make(class_, scorer)
    assert (again.read, again.cached, again.notes) == (3, 1, [])
    assert rows(again)["Bob"]["change"] == {
        "score": pytest.approx(0.15),
        "rank": 1,
        "new": False,
    }
    assert rows(again)["Dan"]["change"]["new"]
    assert rows(again)["Ada"]["change"]["rank"] == -1
    first, second = scorer.calls
    assert (
        first
        == second
        == {
            "images": digest_images(TEST),
            "cache": class_.parent / "out" / CACHE,
        }
    )


def test_the_device_is_prepared_only_if_a_file_is_new(class_):
    scorer, calls = Scorer(), []
    make(class_, scorer, prepare=lambda: calls.append(1))
    assert calls
    calls.clear()
    make(class_, scorer, prepare=lambda: calls.append(1))
    assert not calls


def test_the_last_board_is_remembered_where_snakemake_has_removed_it(class_):
    make(class_)
    output = class_.parent / "out"
    for name in ("html", "csv", "json"):
        (output / f"leaderboard.{name}").unlink()
    again = make(class_)
    assert again.notes == [] and rows(again)["Ada"]["change"]["rank"] == 0


def test_a_last_board_that_cannot_be_used_shows_no_changes_and_says_so(class_):
    make(class_)
    output = class_.parent / "out"
    (output / "leaderboard.json").write_text("{", encoding="utf-8")
    (note,) = make(class_).notes
    assert note.startswith("no changes since the last leaderboard are shown: ")
    assert make(class_).notes == []
    (note,) = make(class_, anonymous=True).notes
    assert "other test images or other names" in note
    (output / "leaderboard.json").unlink()
    (output / KEPT).unlink()
    (output / KEPT).mkdir()
    with pytest.raises(OSError):
        make(class_)


def test_an_anonymous_leaderboard_names_nobody_and_stays_the_same(class_):
    folder = class_.parent / "gradescope"
    shutil.rmtree(class_)
    entries = {f"submission_{n}98765": entry(f"Zqxjk{n}", n) for n in range(6)}
    export(folder, entries, [*entries][:5])
    put(folder / "submission_998765/a.h5")
    put(folder / "submission_898765/a.h5")
    put(folder / "submission_898765/b.h5")
    put(folder / "submission_098765/my_model_weights.h5", b"0.9")
    output = class_.parent / "out"
    first = make(folder, anonymous=True)
    sha256 = checksum(folder / "submission_098765/my_model_weights.h5")
    for kind in ("html", "csv", "json"):
        text = (output / f"leaderboard.{kind}").read_text(encoding="utf-8")
        for secret in (
            "Zqxjk",
            "school.edu",
            "submission_0",
            "98765",
            sha256,
            str(folder),
        ):
            assert secret not in text, (kind, secret)
    table = (output / "pseudonyms.csv").read_text(encoding="utf-8")
    assert "zqxjk0@school.edu" in table
    assert rows(make(folder, anonymous=True)).keys() == rows(first).keys()


def test_what_is_no_class_is_refused_before_anything_is_read(tmp_path):
    def fail():
        raise AssertionError

    with pytest.raises(RefusedFile, match="No such file or directory; expected a fold"):
        write_leaderboard(tmp_path / "none", tmp_path / "out", fail)
    assert not (tmp_path / "out").exists()


def test_a_failed_run_keeps_what_is_known_and_the_last_board(class_, monkeypatch):
    scorer = Scorer()
    make(class_, scorer)
    kept = (class_.parent / "out" / KEPT).read_bytes()

    def fail(board, path):
        raise UserError("no page")

    monkeypatch.setattr("shears.classroom.leaderboard.write_page", fail)
    put(class_ / "Dan.h5", b"0.1")
    with pytest.raises(UserError):
        make(class_, scorer)
    assert (class_.parent / "out" / KEPT).read_bytes() == kept


def test_progress_is_logged_if_files_are_new(class_, caplog):
    for number in range(60):
        put(class_ / f"s{number}.h5", f"0.{number + 100}".encode())
    scorer = Scorer()
    with caplog.at_level(logging.INFO, "shears"):
        make(class_, scorer)
        assert [record.message for record in caplog.records] == [
            "25 of 63 files",
            "50 of 63 files",
        ]
        caplog.clear()
        make(class_, scorer)
        assert not caplog.records


def test_the_digest_is_of_images_and_labels():
    other = Split(TEST.images, np.ones(20, np.uint8))
    assert digest_images(other) != digest_images(TEST) == digest_images(TEST)


def test_tensorflow_is_not_imported_where_nothing_is_new():
    code = (
        "import sys, shears.classroom.leaderboard\n"
        "assert not {'tensorflow', 'matplotlib'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
