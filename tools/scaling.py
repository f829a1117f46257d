"""Measures one and two workers here, and simulates sweeps on many.

Measured (`--measure`): two dense networks, on one core one after the other, on two
cores both at once with one thread each, and on two cores one at a time with two
threads; a job's cost on top of its own work; the time to dispatch a job.

Simulated: the jobs of a run's configuration, with more seeds than it had, go to 1, 8,
64 and 512 workers in the order in which they become ready, as with Snakemake. A job
takes as long as it did in the run (its benchmark file; the seeds take turns), plus the
time to start it and to notice its end (`--cost`). One process dispatches all of them,
one after another; `--dispatch` is the time for each.
"""

import argparse
import contextlib
import csv
import heapq
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from shears.config import Configuration
from shears.plan import plan
from shears.reporting.stages import read_costs
from shears.runtime import machine
from shears.runtime.errors import plain_errors
from shears.runtime.output import checked_output
from tools.configuration import ROOT, read_configuration, require

WORKERS = (1, 8, 64, 512)
SEEDS, IMAGES, EPOCHS = 2, 5000, 4
# By "jobs at once, threads each": cores of the run, threads of a training job.
WAYS = {"1, 1": (1, 1), "2, 1": (2, 1), "1, 2": (2, 2)}


class Job(NamedTuple):
    """A job: how long it takes, and the jobs it waits for."""

    seconds: float
    needs: tuple[str, ...]


class Outcome(NamedTuple):
    """The outcome of a simulation.

    Attributes:
        seconds: Time until the last job ends.
        busy: Fraction of the workers' time spent on jobs.
        dispatching: Fraction of the time spent dispatching jobs.
    """

    seconds: float
    busy: float
    dispatching: float


def plan_sweep(config: Configuration, benchmarks: Path, seeds: int) -> dict[str, Job]:
    """Lists the jobs of a sweep without Part A.

    Args:
        config: The finished run's configuration; without a teacher.
        benchmarks: Folder of the run's benchmark files.
        seeds: How many seeds the sweep has.

    Returns:
        Jobs by name, each after those it needs.
    """
    run_seeds = config.seeds
    require(benchmarks, "snakemake --cores all --configfile config/frontier.yaml")

    def seconds(place: str) -> float:
        seed = int(place.partition("seed_")[2].split("/")[0] or 0)
        place = place.replace(
            f"seed_{seed}/", f"seed_{run_seeds[seed % len(run_seeds)]}/"
        )
        with (benchmarks / f"{place}.tsv").open(encoding="utf-8") as file:
            return float(next(csv.DictReader(file, delimiter="\t"))["s"])

    sweep = plan(config.model_copy(update={"seeds": tuple(range(seeds))}))
    jobs: dict[str, Job] = {}

    def add(place: str, *needs: str) -> None:
        jobs[place] = Job(seconds(place), needs)

    add("prepare_dataset")
    for name in sweep.candidates:
        kind, seed, *number = name.split("/")
        if not number:
            add(f"{name}/train_baseline", "prepare_dataset")
            add(f"{name}/score_candidate", f"{name}/train_baseline")
            continue
        first = number[0] == "round_1"
        before = f"{kind}/{seed}/round_{int(number[0][6:]) - 1}/prune_round"
        method = sweep.methods[kind].settings
        dense = f"{method.baseline}/{seed}/train_baseline"
        needs = [dense if first or method.mask_of else before]
        if method.mask_of:
            needs.append(f"{method.mask_of}/{seed}/{number[0]}/prune_round")
        add(f"{name}/prune_round", *needs)
        add(f"{name}/score_candidate", f"{name}/prune_round")
    scores = [f"{name}/score_candidate" for name in sweep.candidates]
    add("choose_submission", *scores)
    add("package_submission", "choose_submission")
    add("pack_submission", "package_submission")
    add("score_report", "package_submission")
    return jobs


def critical_path(jobs: Mapping[str, Job], cost: float) -> float:
    """Computes the time below which no number of workers can get."""
    ends: dict[str, float] = {}
    for name, job in jobs.items():
        begin = max((ends[other] for other in job.needs), default=0.0)
        ends[name] = begin + cost + job.seconds
    return max(ends.values())


def simulate(
    jobs: Mapping[str, Job], workers: int, *, cost: float, dispatch: float
) -> Outcome:
    """Runs jobs on workers, first come, first served.

    Args:
        jobs: Each after those it needs.
        workers: Jobs that run at once.
        cost: Seconds that a job takes on a worker on top of its own work.
        dispatch: Seconds that dispatching a job takes, one job after another.
    """
    waits_for = {name: len(job.needs) for name, job in jobs.items()}
    users: dict[str, list[str]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for other in job.needs:
            users[other].append(name)
    ready = [name for name, count in waits_for.items() if not count]
    running: list[tuple[float, str]] = []
    now = dispatched = 0.0  # the time, and when the last dispatch ends
    while ready or running:
        while ready and len(running) < workers:
            name = ready.pop(0)
            dispatched = max(now, dispatched) + dispatch
            heapq.heappush(running, (dispatched + cost + jobs[name].seconds, name))
        now, name = heapq.heappop(running)
        for user in users[name]:
            waits_for[user] -= 1
            if not waits_for[user]:
                ready.append(user)
    work = sum(job.seconds for job in jobs.values())
    return Outcome(now, work / (workers * now), dispatch * len(jobs) / now)


class Measured(NamedTuple):
    """Seconds that a run took: by the clock, in its jobs, and in its main process."""

    wall: float
    jobs: float
    dispatching: float


def run_workflow(folder: Path, *arguments: str) -> tuple[float, float]:
    """Runs Snakemake; returns seconds by the clock and CPU seconds of its process."""
    command = [sys.executable, "-m", "snakemake", "--quiet", "all", *arguments]
    start, own = time.perf_counter(), 0.0
    process = subprocess.Popen(command, cwd=ROOT)
    monitor = psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            own = sum(monitor.cpu_times()[:2])
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{folder}: the run failed")
    return time.perf_counter() - start, own


def measure() -> Iterator[tuple[str, Measured]]:
    """Trains the same networks with one and two workers, each run from an empty folder.

    A run with nothing to do measures the time to start Snakemake and to plan, which is
    subtracted.
    """
    for name, (cores, threads) in WAYS.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            changes = {
                "directory": place,
                "seeds": list(range(SEEDS)),
                "data": {"training_images": IMAGES},
                "recipes": {"strong": {"epochs": EPOCHS}},
                "baselines": {"dense": {"teacher": "none"}},
                "run": [],
                "optimizers": {"data_sets": []},
            }
            (folder / "sweep.json").write_text(json.dumps(changes), encoding="utf-8")
            how = ["--cores", str(cores), "--set-threads", f"train_baseline={threads}"]
            how += ["--configfile", str(folder / "sweep.json"), "--"]
            dataset = str(folder / "results/dataset.h5")
            targets = [
                str(folder / f"results/dense/seed_{seed}/weights.h5")
                for seed in range(SEEDS)
            ]
            run_workflow(folder, *how, dataset)
            nothing, idle = run_workflow(folder, *how, dataset)
            wall, own = run_workflow(folder, *how, *targets)
            (job_seconds,) = (
                row["seconds"]
                for row in read_costs(folder / "benchmarks")
                if row["rule"] == "train_baseline"
            )
            yield name, Measured(wall - nothing, job_seconds, own - idle)


def write_measured() -> None:
    """Prints the measurements as a table in Markdown."""
    about = machine.describe()
    print("| jobs at once, threads each | seconds | networks per minute | efficiency |")
    print("| --- | --- | --- | --- |")
    runs: list[Measured] = []
    for name, run in measure():
        runs.append(run)
        efficiency = runs[0].wall / run.wall / WAYS[name][0]
        print(
            f"| {name} | {run.wall:.0f} | {60 * SEEDS / run.wall:.2f} | "
            f"{efficiency:.0%} |",
            flush=True,
        )
    alone = runs[0]
    cost = (alone.wall - alone.jobs) / SEEDS
    print(
        f"\n{SEEDS} networks, {IMAGES:,} images, {EPOCHS} epochs, n = 1 run each. "
        f"{about['cpu']}, {about['cores']} cores; commit {about['commit']}. A job "
        f"costs {cost:.1f} s on top of its work, {alone.dispatching / SEEDS:.2f} s of "
        "it in the process that dispatches jobs."
    )


def write_simulated(config: Configuration, options: argparse.Namespace) -> None:
    """Prints the simulations as a table in Markdown."""
    benchmarks = ROOT / config.directory / "benchmarks"
    jobs = plan_sweep(config, benchmarks, options.seeds)
    work = sum(job.seconds for job in jobs.values())
    path = critical_path(jobs, options.cost)
    print(
        f"{len(jobs):,} jobs, {work / 3600:.1f} hours of work, critical path "
        f"{path / 60:.1f} minutes; {options.cost:g} s more per job, "
        f"{options.dispatch:g} s to dispatch one.\n"
    )
    print("| workers | hours | speed-up | idle | dispatching |")
    print("| --- | --- | --- | --- | --- |")
    alone = simulate(jobs, 1, cost=options.cost, dispatch=options.dispatch).seconds
    for workers in WORKERS:
        outcome = simulate(jobs, workers, cost=options.cost, dispatch=options.dispatch)
        print(
            f"| {workers} | {outcome.seconds / 3600:.2f} | "
            f"{alone / outcome.seconds:.1f} | {1 - outcome.busy:.0%} | "
            f"{outcome.dispatching:.0%} |"
        )


def main() -> None:
    """Measures, or simulates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--measure", action="store_true", help="measure, do not simulate"
    )
    parser.add_argument("--run", default="frontier", help="name of a finished run")
    parser.add_argument("--seeds", type=int, default=50, help="seeds of the sweep")
    parser.add_argument("--cost", type=float, default=10, help="seconds per job")
    parser.add_argument("--dispatch", type=float, default=1, help="seconds per job")
    options = parser.parse_args()
    if options.measure:
        write_measured()
    else:
        write_simulated(read_configuration(options.run), options)


if __name__ == "__main__":
    with checked_output(), plain_errors():
        main()
