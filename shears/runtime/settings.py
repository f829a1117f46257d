"""The base of typed, frozen settings: a key's type, range and default in one place."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")
Seed = Annotated[int, Field(ge=0, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Crop = Annotated[int, Field(ge=0, le=15)]


def _each_once(items: Sequence[Any]) -> Sequence[Any]:
    if len(set(items)) < len(items):
        raise PydanticCustomError("not_unique", "each item once")
    return items


# YAML has lists; frozen settings hold tuples.
List = Annotated[tuple[Item, ...], Field(strict=False)]
# Limits on the length come before it; after it, they would be missing from the schema.
EACH_ONCE = AfterValidator(_each_once)
UniqueList = Annotated[
    List[Item], Field(json_schema_extra={"uniqueItems": True}), EACH_ONCE
]


class Settings(BaseModel):
    """Settings that are validated when created and cannot be changed afterwards.

    The docstring below an attribute describes its key. Unknown keys, values of the
    wrong type, NaN and infinity are refused (`pydantic.ValidationError`).
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        # pydantic lists every unknown key among the other errors; this reports only the
        # first one, with the keys that may have been meant.
        for key in values if isinstance(values, dict) else ():
            if key not in cls.model_fields:
                if isinstance(key, str):  # pydantic cannot hold what is not UTF-8
                    key = key.encode(errors="backslashreplace").decode()
                context = {"key": key, "known": list(cls.model_fields)}
                raise PydanticCustomError("unknown_key", "unknown key", context)
        return values
