# Threads, memory, time limits and GPUs.

import math

from shears.runtime.machine import find_gpus
from shears.runtime.slurm import check_slurm, end_on_signals, find_slurm_gpus

# Images per second: less than half of 1,400, the speed of the slower of two machines in
# float32 with two threads (docs/scaling.md).
SLOWEST = 600


def share_of_cores(concurrent: int) -> int:
    """Threads per training job: many narrow jobs at once beat wide ones in turn."""
    cores = workflow.resource_settings.cores or 1  # on a cluster, the profile decides
    return max(1, min(16, cores // max(concurrent, 1)))


def gpus(wildcards) -> int:
    """GPUs that a training job requests, the same in every process of a run."""
    if CONFIG.gpus != "auto":
        return CONFIG.gpus
    find = find_slurm_gpus if uses_slurm() else find_gpus
    return int(os.environ.setdefault("SHEARS_GPUS", str(find())))


def uses_slurm() -> bool:
    """Returns whether jobs are submitted to Slurm."""
    return getattr(workflow.executor_plugin, "name", "") == "slurm"


def check_cluster(jobs) -> None:
    """Checks before the first job that Slurm takes these jobs, if it is to run them."""
    submitted = [job.resources for job in jobs if not job.is_local]
    if not uses_slurm() or not submitted:
        return
    settings = workflow.executor_settings
    partitions = {str(resources.get("slurm_partition", "")) for resources in submitted}
    if settings.partition_config or "SNAKEMAKE_SLURM_PARTITIONS" in os.environ:
        partitions.discard("")  # the plugin chooses one
    accounts = {str(resources.get("slurm_account", "")) for resources in submitted}
    check_slurm(settings.status_command, partitions, accounts - {""})
    end_on_signals()


def growing(amount: int):
    """A resource that grows each time a job is retried."""
    return lambda wildcards, attempt: amount * attempt


def minutes(epochs, width=None):
    """A job's time limit on a cluster, from the number of passes over the images.

    Args:
        epochs: A function of the wildcards.
        width: The teacher's width if the job runs the teacher, which at width 1 takes
            2.5 times as long as the fixed network.
    """
    images = PLAN.training_images
    images *= 1 if width is None else 2.5 * max(1, width**2)
    return lambda wildcards, attempt: attempt * math.ceil(
        10 + epochs(wildcards) * images / SLOWEST / 60
    )


def training_minutes(settings, width=None):
    """The time limit of a training job."""
    return minutes(lambda wildcards: settings(wildcards)["recipe"]["epochs"], width)


def logits_minutes(width=None, teachers=1):
    """The time limit of a job that saves logits: a forward pass is a third of a step."""
    return minutes(lambda wildcards: len(VIEWS[0]) * teachers / 3, width)


def megabytes_with_logits(wildcards, attempt) -> int:
    """The memory of a student's training, which holds its teacher's logits."""
    views = CONFIG.views.count * PLAN.training_images * 30 / 1e6  # 29 bytes each
    return attempt * math.ceil(3000 + views)
