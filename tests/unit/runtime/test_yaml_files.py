import pytest

from shears.runtime.yaml_files import check_yaml, typed
from tests import ROOT
from tests.conftest import refused


def test_lists_after_config_have_yamls_types():
    texts = {"a": ["0", "0.5", "lamp", "true", "1e-3", "[", ""], "b": {"c": "-1"}}
    values = {"a": [0, 0.5, "lamp", True, "1e-3", "[", ""], "b": {"c": -1}}
    assert typed(texts) == values


FILES = {
    "no file": (None, "No such file or directory; it must exist"),
    "empty": ("", "found null, expected a mapping of keys"),
    "a list": ("- seed\n", "found ['seed'], expected a mapping of keys"),
    "text": ("seed\n", "found 'seed', expected a mapping of keys"),
    "not closed": ("seed: [0\n", "line 2, column 1"),
    "a tab": ("seed:\n\t0\n", "line 2, column 1"),
    "wrong indentation": ("data:\n  name: digits\n seed: 0\n", "line 3, column 2"),
    "a key twice": (
        "seed: 0\nseed: 1\n",
        "line 2, column 1: duplicate key 'seed'",
    ),
    "a key twice inside": (
        "data: {name: digits, name: cifar10}",
        "line 1, column 22: duplicate key 'name'",
    ),
    "a key twice in JSON": (
        '{\n\t"seed": 0,\n\t"seed": 1\n}',
        "line 3, column 2: duplicate key 'seed'",
    ),
    "JSON nested without end": ("[" * 9999 + "]" * 9999, "a value in it cannot be"),
    "two documents": ("seed: 0\n---\nseed: 1\n", "line 2, column 1"),
    "an unknown tag": ("seed: !!python/object:os.system ls", "line 1, column 7"),
    "an unknown anchor": ("seed: *there", "line 1, column 7"),
    "a key that is a list": ("{[a]: 1}", "line 1, column 2"),
    "an impossible date": ("seed: 2020-13-45", "a value in it cannot be read: month"),
    "a number of 5,000 digits": ("seed: " + "9" * 5000, "a value in it cannot be read"),
    "nested without end": ("seed: " + "[" * 9999, "a value in it cannot be read"),
    "not UTF-8": (b"seed: \xff\xfe", "not a text file in UTF-8"),
    "binary": (b"\x00\x01\x02", "not a text file in UTF-8"),
}


@pytest.mark.parametrize("kind", FILES)
def test_bad_configuration_files_are_refused_in_a_line(kind, tmp_path):
    content, message = FILES[kind]
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with refused(path, message):
        check_yaml(path)


def test_json_with_tabs_is_read_as_snakemake_does(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(
        '{\n\t"seed": 3,\n\t"data": {"name": "digits"}\n}\n', encoding="utf-8"
    )
    check_yaml(path)


def test_the_shipped_files_are_read():
    for path in (ROOT / "config.yaml", *(ROOT / "config").glob("*.yaml")):
        check_yaml(path)
