"""What each result was made from, recorded beside it.

Beside the first file ``name`` that a job writes lies ``.name.job.json``: the rule, its
parameters (settings and the digest of its code), and the checksums of its inputs.
Results that are copied, unpacked or restored bring their records with them, so a run
can tell which of them are still those of the present settings and code.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from shears.runtime.errors import UserError, brief
from shears.runtime.files import known_checksum, open_regular, whole_file


class JobRecord(BaseModel):
    """What a job made its outputs from.

    Attributes:
        rule: The rule's name.
        params: The ``repr`` of each parameter, sorted.
        inputs: Path and sha256, in hexadecimal, of each input file.
        outputs: Paths of all files and folders that the job makes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rule: str
    params: list[str]
    inputs: dict[str, str]
    outputs: list[str]


def record_path(output: str | Path) -> Path:
    """Returns the path of the record of a job with this first output."""
    output = Path(output)
    return output.with_name(f".{output.name}.job.json")


def write_record(
    rule: str,
    params: Iterable[object],
    inputs: Iterable[str],
    outputs: Iterable[str],
) -> None:
    """Records what a job is about to make its outputs from.

    A job calls this before it writes anything. Then no kill leaves outputs that have
    no record, or the record of earlier ones.

    Args:
        rule: The rule's name.
        params: Values whose ``repr`` shows all of their contents.
        inputs: Paths of the files that the job reads.
        outputs: Paths of what it makes; none of them exists any more.

    Raises:
        OSError: An input cannot be read or the record cannot be written.
    """
    record = JobRecord(
        rule=rule,
        params=sorted(map(repr, params)),
        inputs={str(path): known_checksum(path) for path in sorted(inputs)},
        outputs=list(map(str, outputs)),
    )
    with whole_file(record_path(record.outputs[0])) as file:
        file.write(f"{record.model_dump_json(indent=2)}\n".encode())


def find_records(folder: str | Path) -> Iterator[JobRecord]:
    """Yields the record of every job whose outputs are all there.

    Args:
        folder: Where to look, at any depth.

    Raises:
        UserError: The folder or a record cannot be read.
    """
    try:
        paths = sorted(Path(folder).rglob(".*.job.json"))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None
    for path in paths:
        try:
            with open_regular(path) as file:
                record = JobRecord.model_validate_json(file.read())
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
        except ValidationError as error:
            raise UserError(
                f"{path}: found no record of a job ({brief(error.errors()[0]['msg'])}):"
                " delete it and the files beside it, which it describes, and run again"
            ) from None
        if all(Path(output).exists() for output in record.outputs):
            yield record
