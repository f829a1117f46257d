# Snakemake's memory of what each result was made from (in .snakemake) is a copy of the
# records beside the results. It is filled in from them if it was deleted, or if the
# results are not the ones that it knows: copied, unpacked or restored.

from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence

from shears.runtime.files import verify
from shears.runtime.job_record import JobRecord, find_records


def is_remembered(seen: MetadataRecord | None, output: str) -> bool:
    """Whether Snakemake's memory is of this very file, which has its date then."""
    return seen is not None and (
        os.path.isdir(output) or seen.endtime == os.stat(output).st_mtime
    )


def restore_memory(folder: Path) -> None:
    """Tells Snakemake what the results in a folder were made from."""
    memory = FilePersistence(nolock=True)
    for record in find_records(folder):
        seen = {output: memory._read_record(output) for output in record.outputs}
        if all(is_remembered(seen[output], output) for output in seen):
            continue
        try:
            for output in filter(os.path.isfile, seen):
                verify(output)
        except UserError:
            if any(seen.values()):
                continue  # damaged since it was made: whatever reads it says so
            raise
        for output, known in seen.items():
            remembered = known or MetadataRecord()
            remembered.record_format_version = RECORD_FORMAT_VERSION
            remembered.rule = record.rule
            remembered.params = record.params
            remembered.input = sorted(record.inputs)
            remembered.input_checksums = {
                path: f"sha256:{value}" for path, value in record.inputs.items()
            }
            remembered.endtime = os.stat(output).st_mtime
            memory._write_record(output, remembered)
