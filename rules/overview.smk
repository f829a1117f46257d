# What a person sees before a run, and what the display (snakemake_logger_plugin_shears)
# knows of it. Snakemake's own display shows the same lines.

from snakemake.logging import logger

from shears.forecast import (
    LEAST_IMAGES,
    REFITS,
    TRAINED,
    Work,
    disk_needed,
    forecast,
    in_bytes,
    in_words,
    logits_work,
    name_jobs,
    together,
    training_work,
)
from shears.runtime.files import check_room


def tell(text: str = "", **facts) -> None:
    """Logs a text for every display, and facts for ours."""
    logger.info(text, extra={"shears": {"lines": text.splitlines(), **facts}})


def capture_output() -> None:
    """Keeps what jobs print off the screen, if it is our display's."""
    for handler in workflow.logger_manager.get_log_handlers():
        if hasattr(handler, "capture"):
            handler.capture()


def work_of(job) -> Work:
    """Describes what a job does, for the forecast."""
    name, threads = job.name, job.threads
    settings = job.params.get("settings")
    refit, stage = name in REFITS, REFITS.get(name, name)
    images = PLAN.all_images if refit else PLAN.training_images
    if stage in TRAINED:
        return training_work(
            name,
            threads,
            settings,
            images=images,
            validation_images=0 if refit else CONFIG.data.validation_images,
            distilled="teacher_logits" in job.input.keys(),
            resumes=job.params.checkpoint,
            code=job.params.code,
        )
    if stage in ("save_teacher_logits", "save_baseline_logits"):
        views = len(VIEWS[int(job.wildcards.part) - 1])
        if stage == "save_teacher_logits":
            recipe = PLAN.teacher_recipe()
            by = dict(width=CONFIG.teacher.width, networks=CONFIG.teacher.count)
        else:
            recipe, by = PLAN.baseline_recipe(job.wildcards.baseline), dict(width=None)
        return logits_work(
            name, threads, recipe, CONFIG.precision, views=views, images=images, **by
        )
    return Work(name, threads)


def measures(works) -> bool:
    """Returns whether the training step is measured: here, where trainings will run."""
    return sum(work.images for work in works) >= LEAST_IMAGES and not uses_slurm()


def tell_of_disk(works) -> None:
    """Says how much disk the run needs, and whether there is less."""
    needed = disk_needed(
        works,
        data=CONFIG.data.name,
        downloads=any(work.name == "download_cifar10" for work in works),
    )
    free = check_room(BASE)
    if free > needed:
        tell(f"disk:  {in_bytes(needed)} needed, {in_bytes(free)} free")
    else:  # a run that overwrites its own files needs less, so it may begin
        tell(
            f"disk:  warning: {in_bytes(needed)} needed, but only {in_bytes(free)} "
            "free: make room, or the run will stop"
        )


def tell_of_run(jobs, needed) -> None:
    """Says what a run makes and keeps, how long it takes and what it needs.

    Args:
        jobs: All jobs of the plan.
        needed: Those that will run.
    """
    needed = [job for job in needed if job.log]
    works = [work_of(job) for job in needed]
    kept = [job.name for job in set(jobs) - set(needed) if job.log]
    if any(work.name in REFITS for work in works):  # a part of one keeps no refit
        kept = [name for name in kept if name not in REFITS]
    tell(f"makes: {name_jobs([work.name for work in works]) or 'files'}")
    if kept:
        tell(f"keeps: {name_jobs(kept)}")
    if "download_cifar10" in (work.name for work in works):
        given = os.environ.get("CIFAR10_ARCHIVE")
        tell(f"loads: CIFAR-10, {given or '170 MB from ' + CONFIG.data.urls[0]}")
    tell_of_disk(works)
    if not works:
        return
    gpu = gpus(None) if measures(works) else 0
    cores = workflow.resource_settings.cores or 1
    expected, known = forecast(works, measured=False), not uses_slurm()
    if measures(works):
        try:
            expected = forecast(works, gpus=gpu)
        except UserError as error:  # no reason not to run
            tell(f"time:  {error}")
            known = False
        except KeyboardInterrupt:  # Snakemake would show a traceback
            sys.exit("Interrupted before anything ran.")
    numbers = {job: i for i, job in enumerate(needed)}
    after = [
        {numbers[one] for one in workflow.dag.dependencies[job] if one in numbers}
        for job in needed
    ]
    shares, seconds = together(
        works, expected.seconds, cores=cores, gpus=gpu, after=after
    )
    planned = {
        workflow.dag.jobid(job): (took, share, work.kind)
        for job, work, took, share in zip(needed, works, expected.seconds, shares)
    }
    text = ""
    if known:
        later = CONFIG.refit and not any(job.name in REFITS for job in jobs)
        refit = " and the refit of the chosen network" if later else ""
        speeds = ", ".join(
            f"{kind} {speed:,.0f} images/s" for kind, speed in expected.speeds.items()
        )
        text = f"time:  about {in_words(seconds)}{refit}"
        text += f" ({speeds})" if speeds else ""
    tell(text, planned=planned if known else {}, queue=uses_slurm())


def find_targets() -> list[str]:
    """Lists the files that the run was asked for; nothing for the whole."""
    found = []
    for target in map(str, workflow.dag_settings.targets or ()):
        outputs = [job.output for job in workflow.dag.jobs if job.name == target]
        found += outputs[0] if outputs else [target]
    return [str(file) for file in found]


# The targets are not known yet, so the display asks when the run ends.
tell(results=str(RESULTS), candidates=list(PLAN.candidates), find_targets=find_targets)
