# Shears: train, prune, score and package the fixed CIFAR-10 network.
# rules/ has a file for each part of the workflow; config.yaml says what is run.

import logging
import re
import sys

from snakemake.utils import min_version

from shears.runtime.errors import plain_errors
from shears.runtime.files import check_room, check_writable
from shears.runtime.lock import hold_lock, look_at_lock
from shears.runtime.yaml_files import check_yaml
from shears.training.checkpoint import remove_finished

min_version("9.27")
logging.raiseExceptions = False  # a full disk is reported once, not for every log line
with plain_errors():
    for file in (f"{workflow.basedir}/config.yaml", *workflow.overwrite_configfiles):
        check_yaml(file)


configfile: f"{workflow.basedir}/config.yaml"


localrules:
    download_cifar10,  # a cluster's nodes rarely reach the internet


include: "rules/common.smk"
include: "rules/resources.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/prune.smk"
include: "rules/score.smk"
include: "rules/submit.smk"
include: "rules/refit.smk"
include: "rules/measure.smk"
include: "rules/optimizers.smk"
include: "rules/report.smk"
include: "rules/classroom.smk"
include: "rules/trial.smk"
include: "rules/memory.smk"
include: "rules/overview.smk"


# Planning already writes Snakemake's records, and its own error would be a traceback.
RECORDS = Path(".snakemake")
with plain_errors():
    check_writable(
        [
            *(Path.cwd(), RECORDS, *RECORDS.glob("*"), *RECORDS.glob("iocache/*")),
            *(folder / ".shears.lock" for folder in (Path.cwd(), RESULTS)),
            *(RESULTS, LOGS, BENCHMARKS, CHECKPOINTS),
        ]
    )

# Before planning: anything that another run does from now on makes the plan stale.
LOCKS = {folder: look_at_lock(folder) for folder in (Path.cwd(), RESULTS.resolve())}
if workflow.is_main_process and not any(seen.held for seen in LOCKS.values()):
    with plain_errors():
        restore_memory(RESULTS)


rule all:
    default_target: True
    input:
        rules.package_submission.output,
        rules.pack_submission.output,
        rules.score_report.output,
        NOTEBOOKS,
        rules.run_pruning_notebook.output,
        # Intermediate files too, or a missing one would count as not needed.
        rules.choose_submission.output,
        of_all_candidates("weights.h5"),
        of_all_candidates("score_test.json"),


onstart:
    with plain_errors():
        check_jobs_files(workflow.dag.jobs)
        for folder, seen in LOCKS.items():
            check_room(folder)
            hold_lock(folder, seen)
        check_cluster(workflow.dag.needrun_jobs())
        tell_of_run(workflow.dag.jobs, workflow.dag.needrun_jobs())
    capture_output()


onerror:
    # A job that the system kills (SIGKILL, SIGABRT) cannot report it.
    logs = [Path(file) for file in log if Path(file).exists()]
    printed = "".join(path.read_text("utf-8", "replace") for path in logs)
    if re.search(
        "died with <Signals.SIG(KILL|ABRT)|exit status (137|134)", printed
    ):
        sys.stderr.write("error: a job was killed, most often for lack of memory\n")
    sys.stderr.write(
        "Finished files are kept, and training resumes after the last completed epoch: "
        "fix the cause named above and run again.\n"
    )


onsuccess:
    with plain_errors():
        # Only those of this run's jobs: another job may have been killed before Snakemake
        # recorded it as done, and then its checkpoint is all that is left of it.
        remove_finished(
            (
                job.params.checkpoint
                for job in workflow.dag.jobs
                if "checkpoint" in job.params.keys()
            ),
            root=CHECKPOINTS,
        )
