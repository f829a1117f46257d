import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.runtime.errors import UserError
from shears.runtime.yaml_files import check_yaml, typed
from tests import ROOT
from tests.conftest import refused


def test_lists_after_config_have_yamls_types():
    texts = {"a": ["0", "0.5", "lamp", "true", "1e-3", "[", ""], "b": {"c": "-1"}}
    values = {"a": [0, 0.5, "lamp", True, "1e-3", "[", ""], "b": {"c": -1}}
    assert typed(texts) == values


@pytest.mark.parametrize(
    "text",
    [
        "!!bool x",
        "!!int x",
        '!!int ""',
        "!!timestamp x",
        "2020-13-45",
        "[" * 9999,
        "\0",
    ],
)
def test_text_after_config_that_yaml_cannot_read_stays_text(text):
    assert typed([text]) == [text]


FILES = {
    "no file": (None, "No such file or directory; expected a YAML file"),
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
    "an impossible date": (
        "seed: 2020-13-45",
        "line 1, column 7: '2020-13-45' cannot be read as timestamp: month must be in",
    ),
    "a number of 5,000 digits": ("seed: " + "9" * 5000, "column 7: '99999999999"),
    "a hexadecimal number of 5,000 digits": (
        "seeds: [0x" + "f" * 5000 + "]",
        "line 1, column 9: '0xff",
    ),
    "a number of 3,000 parts": ("gpus: 1" + ":1" * 3000, "cannot be read as int: more"),
    "a JSON number of 5,000 digits": (f'{{"seed": {"9" * 5000}}}', "cannot be read"),
    **{
        f"a value that is no {kind}": (
            f"a: b\nseed: !!{kind} x",
            f"line 2, column 7: 'x' cannot be read as {kind}",
        )
        for kind in ("bool", "int", "float", "timestamp")
    },
    "a value of no digits": ('seed: !!int ""', "'' cannot be read as int"),
    "text for a mapping": ("data: !!map x", "line 1, column 7"),
    "text for a list": ("data: !!seq x", "line 1, column 7"),
    **{
        f"a value of the type {kind}": (f"seed: !!{kind} {value}", "line 1, column 7")
        for kind, value in {
            "set": "{a}",
            "omap": "[a: 1]",
            "pairs": "[a: 1]",
            "binary": "YQ==",
        }.items()
    },
    "a key that is no bool": ("!!bool x: 1", "line 1, column 1"),
    "code": (
        "__use_yte__: true\nseeds: ?[print('run')]",
        "found __use_yte__, which makes Snakemake run code in the file",
    ),
    "a long key twice": (f"{'a' * 999}: 0\n" * 2, "duplicate key 'aaaaaaaaaaaa"),
    "a mapping in itself": (
        "recipes: &a {x: *a}",
        "line 1, column 10: found more than 100 levels of lists and mappings",
    ),
    "a list in itself": ("seeds: &a [*a]", "found more than 100 levels"),
    "101 levels": ("seed: " + "[" * 100 + "]" * 100, "found more than 100 levels"),
    "values that unpack to a million million": (
        "a: &a0 {x: 1}\n"
        + "".join(f"a{i}: &a{i} [{f'*a{i - 1},' * 10}]\n" for i in range(1, 13)),
        "found more than 100,000 values",
    ),
    "mappings merged without end": (
        "a: &a0 {x: 1}\n"
        + "".join(
            f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)
        ),
        "found more than 100,000 values",
    ),
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
    for path in (ROOT / "config.yaml", *(ROOT / "config").rglob("*.yaml")):
        check_yaml(path)


def test_a_document_as_large_as_is_allowed_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("seed: " + "[" * 98 + "0" + "]" * 98, encoding="utf-8")
    check_yaml(path)
    path.write_text("a: &a [" + "0," * 9_000 + "]\nb: [*a, *a]\n", encoding="utf-8")
    check_yaml(path)


TEXTS = st.lists(
    st.sampled_from(
        [*"abx01:,[]{}&*!?|>-#'\"%@~. \n\t\0\x1b\ud800\ufeff", "<<: ", "*a ", "&a "]
        + [f"!!{kind} " for kind in ("bool", "int", "float", "timestamp", "map", "seq")]
        + [f"!!{kind} " for kind in ("set", "omap", "pairs", "binary", "null", "str")]
        + [".nan", ".inf", "2020-13-45", "0x", "0b2", "1_", "- ", ": ", "\n  ", "null"]
    ),
    max_size=20,
).map("".join)


@settings(
    max_examples=500,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=TEXTS)
def test_any_text_is_read_or_refused_in_a_line(text, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    typed([text])
    try:
        check_yaml(path)
    except UserError as error:
        line = str(error).removeprefix(str(path))
        assert line.isprintable()
        assert len(line) < 350
    else:
        yaml.load(
            path.read_text(encoding="utf-8"), yaml.FullLoader
        )  # as Snakemake does
