"""Records of what results were made from."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.runtime.errors import UserError
from shears.runtime.files import checksum, write_json
from shears.runtime.job_record import find_records, write_record

SETTINGS = st.dictionaries(
    st.text(),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
)


def record(tmp_path, params=()):
    """Records a job with one input and two outputs, and makes the outputs."""
    source, output = tmp_path / "dataset.h5", tmp_path / "round_1/weights.h5"
    source.write_bytes(b"images")
    outputs = [str(output), str(output.with_name("figures"))]
    write_record("prune_round", params, [str(source)], outputs)
    output.write_bytes(b"weights")
    output.with_name("figures").mkdir(exist_ok=True)
    return source, output


def test_a_record_says_what_a_result_was_made_from(tmp_path):
    source, output = record(tmp_path, [{"sparsity": 0.9}, "abc"])
    (found,) = find_records(tmp_path)
    assert found.rule == "prune_round"
    assert found.params == ["'abc'", "{'sparsity': 0.9}"]
    assert found.inputs == {str(source): checksum(source)}
    assert found.outputs == [str(output), str(output.with_name("figures"))]
    assert {path.name for path in output.parent.iterdir()} == {
        ".weights.h5.job.json",
        "weights.h5",
        "figures",
    }


@given(first=st.lists(SETTINGS), second=st.lists(SETTINGS))
def test_records_differ_if_and_only_if_the_parameters_do(
    tmp_path_factory, first, second
):
    folder = tmp_path_factory.mktemp("record")
    found = []
    for params in (first, second):
        record(folder, params)
        found.append(next(find_records(folder)))
    same = sorted(map(repr, first)) == sorted(map(repr, second))
    assert (found[0] == found[1]) == same


def test_the_checksum_beside_an_input_is_used(tmp_path):
    source = tmp_path / "choice.json"
    write_json(source, {"a": 1})
    (tmp_path / "b").touch()
    write_record("pack", [], [str(source)], [str(tmp_path / "b")])
    assert next(find_records(tmp_path)).inputs == {str(source): checksum(source)}
    # Without it, or if it has none, it is computed.
    for seal in ("", None):
        path = tmp_path / ".choice.json.sha256"
        path.unlink() if seal is None else path.write_text(seal, encoding="utf-8")
        write_record("pack", [], [str(source)], [str(tmp_path / "b")])
        assert next(find_records(tmp_path)).inputs == {str(source): checksum(source)}


def test_a_record_without_all_of_its_outputs_is_of_no_use(tmp_path):
    _, output = record(tmp_path)
    output.unlink()
    assert list(find_records(tmp_path)) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rule": "a"}', "\xff", "null"])
def test_a_file_that_is_no_record_is_named(tmp_path, text):
    record(tmp_path)
    path = tmp_path / "round_1/.weights.h5.job.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="found no record of a job") as caught:
        list(find_records(tmp_path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_is_refused(tmp_path):
    record(tmp_path)
    path = tmp_path / "round_1/.weights.h5.job.json"
    content = {**json.loads(path.read_bytes()), "more": 1}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="found no record of a job"):
        list(find_records(tmp_path))


def test_a_folder_that_cannot_be_searched_is_refused_in_a_line():
    folder = "a" * 300
    with pytest.raises(UserError, match=f"^{folder}: File name too long$"):
        list(find_records(folder))
