"""Writes schemas/config.schema.yaml and config/README.md from shears/config.py.

Editors use the schema to complete and check config.yaml, people read the page; the
workflow itself uses the classes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from shears.config import Configuration
from shears.runtime.files import whole_file

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "schemas/config.schema.yaml"
PAGE = ROOT / "config/README.md"
HEADER = "# Written by `make schema` from shears/config.py.\n"
# The classes of the sections, by the keys that they stand below.
SECTIONS = {
    "data": "DataSettings",
    "recipes: NAME": "Recipe",
    "teacher": "TeacherSettings",
    "views": "ViewSettings",
    "baselines: NAME": "BaselineSettings",
    "pruning, and methods: NAME": "MethodSettings",
    "pruning: rounds, and methods: NAME: rounds": "RoundSettings",
    "selection": "SelectionSettings",
    "latency": "LatencySettings",
    "optimizers": "OptimizerStudySettings",
}
OVERRIDES = "MethodOverrides"  # what is below a method's name
RANGE = {
    "exclusiveMinimum": "> {}",
    "minimum": ">= {}",
    "exclusiveMaximum": "< {}",
    "maximum": "<= {}",
}


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out the titles, which repeat the keys."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def make_schema() -> dict[str, Any]:
    """Makes the configuration's JSON Schema (draft 2020-12)."""
    schema = Configuration.model_json_schema(schema_generator=_WithoutTitles)
    parts = schema["$defs"]
    for part in (schema, *parts.values()):
        del part["title"]  # the class's name
    for key in schema["properties"].values():
        if "patternProperties" in key:
            key["additionalProperties"] = False
    # A recipe may take what it must have from the one that it extends.
    recipe = parts["Recipe"]
    recipe["anyOf"] = [
        {"required": [key]} for key in (*recipe.pop("required"), "extends")
    ]
    # A method's keys have no defaults of their own.
    keys = {
        name: {word: value for word, value in key.items() if word != "default"}
        for name, key in parts["MethodSettings"]["properties"].items()
    }
    parts[OVERRIDES] = {**parts["MethodSettings"], "properties": keys}
    methods = schema["properties"]["methods"]["patternProperties"]
    for pattern in methods:
        methods[pattern] = {"$ref": f"#/$defs/{OVERRIDES}"}
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def schema_text() -> str:
    """Writes the schema as YAML."""
    # Flow style would write long lists on one line; aliases would be hard to read.
    dumper = type("Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    return HEADER + yaml.dump(make_schema(), Dumper=dumper, sort_keys=False, width=88)


def describe_values(key: Mapping[str, Any]) -> str:
    """Describes the values that a key can have: the type, the choices or the range."""
    if "enum" in key:
        return ", ".join(f"`{choice}`" for choice in key["enum"])
    if "$ref" in key:
        return "see below"
    if key["type"] == "array":
        return f"list of: {describe_values(key['items'])}"
    if key["type"] == "object":
        return "see below"
    limits = [words.format(key[rule]) for rule, words in RANGE.items() if rule in key]
    return " ".join([key["type"], *limits])


def table(
    section: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]
) -> str:
    """Lays out the keys of a section in a Markdown table."""
    lines = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for name, key in section["properties"].items():
        values = describe_values(key)
        default = "" if values == "see below" else f"`{json.dumps(key.get('default'))}`"
        if "default" not in key:
            default = "must be given"
        if len(default) > 80:
            default = "see the schema"
        meaning = key.get("description")
        if not meaning:  # a section without a description of its own has its class's
            meaning = definitions[key["$ref"].rpartition("/")[2]]["description"]
        lines.append(f"| `{name}` | {values} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def page_text() -> str:
    """Writes the page of all keys."""
    schema = make_schema()
    parts = [
        "# Configuration\n\nThe files in this folder change some keys of "
        "[config.yaml](../config.yaml): `snakemake --cores all --configfile "
        "config/NAME.yaml`. A comment at the top of each says what it is for. "
        "A run without `--configfile` uses `config.yaml` alone.\n\n"
        "All keys are listed here. `make schema` writes this page from the classes in "
        "[shears/config.py](../shears/config.py). A default is what a key has if "
        "neither `config.yaml` nor your file has it; `config.yaml` sets many keys to "
        "other values.\n\n## The top level\n\n",
        table(schema, schema["$defs"]),
    ]
    for title, name in SECTIONS.items():
        part = schema["$defs"][name]
        parts.append(f"\n## `{title}`\n\n{part['description']}\n\n")
        parts.append(table(part, schema["$defs"]))
    return "".join(parts)


if __name__ == "__main__":
    for path, text in ((SCHEMA, schema_text()), (PAGE, page_text())):
        with whole_file(path) as file:
            file.write(text.encode())
