"""Writes schemas/config.schema.yaml from the classes in shears/config.py.

Editors use it to complete and check config.yaml; the workflow itself uses the classes.
"""

from pathlib import Path

import yaml
from pydantic.json_schema import GenerateJsonSchema

from shears.config import Configuration
from shears.runtime.files import whole_file

SCHEMA = Path(__file__).resolve().parents[1] / "schemas/config.schema.yaml"
HEADER = "# Written by `make schema` from shears/config.py.\n"


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out the titles, which repeat the keys."""

    def field_title_should_be_set(self, schema) -> bool:
        return False


def schema_text() -> str:
    """Writes the configuration's JSON Schema (draft 2020-12) as YAML."""
    schema = Configuration.model_json_schema(schema_generator=_WithoutTitles)
    for part in (schema, *schema["$defs"].values()):
        del part["title"]  # the class's name
    schema = {"$schema": GenerateJsonSchema.schema_dialect, **schema}
    # Flow style would write long lists on one line; aliases would be hard to read.
    dumper = type("Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    return HEADER + yaml.dump(schema, Dumper=dumper, sort_keys=False, width=88)


if __name__ == "__main__":
    with whole_file(SCHEMA) as temporary:
        temporary.write_text(schema_text())
