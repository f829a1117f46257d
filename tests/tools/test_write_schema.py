import jsonschema
import pytest
import yaml

from shears.config import parse_configuration
from shears.runtime.errors import UserError
from tests.configurations import BAD, CONFIG, merge
from tools.write_schema import (
    OVERRIDES,
    PAGE,
    SCHEMA,
    SECTIONS,
    make_schema,
    page_text,
    schema_text,
)


def test_the_schema_is_the_generated_one():
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()  # else: make schema
    jsonschema.Draft202012Validator.check_schema(yaml.safe_load(schema_text()))


def test_the_page_of_keys_is_the_generated_one_and_has_every_section():
    assert PAGE.read_text(encoding="utf-8") == page_text()  # else: make schema
    assert {*SECTIONS.values(), OVERRIDES} == make_schema()["$defs"].keys()


NOT_IN_JSON = {
    # It has no NaN, and its 1.0 is the integer 1.
    *("sparsity NaN", "a number of GPUs with a fraction"),
    *("a seed with a fraction of 0", "epochs with a fraction of 0"),
    # Its keys are texts.
    *("a recipe without a name", "a recipe whose name is a number"),
    "a method whose name is a date",
    # Its $ is the end (ECMA 262); only Python's lets a line feed through.
    *("a name that ends a line", "a file name that ends a line"),
    *("a folder that ends a line", "a server with a line feed"),
    # It knows no names.
    *("a recipe that extends none", "a recipe that extends itself by way of another"),
    # It knows no variables.
    "nobody's home",
    *(kind for kind in BAD if kind.startswith("a variable that is not set")),
}


@pytest.mark.parametrize("kind", sorted(BAD.keys() - NOT_IN_JSON))
def test_the_schema_refuses_what_the_classes_refuse(kind):
    config = merge(CONFIG, yaml.safe_load(BAD[kind][0]))
    try:
        parse_configuration(config)
    except UserError:
        schema = jsonschema.Draft202012Validator(make_schema())
        assert not schema.is_valid(config)


# Rules of a JSON Schema that a value can break; the others only lead on to these.
RULES = {
    *("additionalProperties", "required", "type", "enum", "pattern", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minItems", "maxItems", "minProperties"),
}


def rules(schema: object) -> set[str]:
    """Lists the rules in a schema."""
    if isinstance(schema, list):
        return set().union(*map(rules, schema))
    if not isinstance(schema, dict):
        return set()
    found = RULES & schema.keys()
    return found.union(*(rules(inner) for inner in schema.values()))


def test_every_kind_of_rule_is_broken_by_a_bad_configuration():
    schema = yaml.safe_load(schema_text())
    validator = jsonschema.Draft202012Validator(schema)
    broken = {
        error.validator
        for kind in BAD.keys() - NOT_IN_JSON
        for error in validator.iter_errors(merge(CONFIG, yaml.safe_load(BAD[kind][0])))
    }
    assert rules(schema) == RULES & broken
