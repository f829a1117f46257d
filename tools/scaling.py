"""Measures one and two workers here, and simulates sweeps on many.

Measured (`--measure`): two dense networks, on one core one after another, on two cores
both at a time with a thread each, and one at a time with two threads; what a job costs
besides its own work; what the process that hands jobs out takes for each.

Simulated: the jobs of a run's configuration, with more seeds than it had, are given to
1, 8, 64 and 512 workers in the order in which they become ready, as Snakemake does. A
job lasts as long as the run's own did (its benchmark file; the seeds take turns), and
longer by what starting and noticing it cost (`--cost`). One process hands all of them
out, one after another: `--dispatch` is the time that it takes for each.
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

from shears.plan import candidates, methods
from shears.reporting.report import read_costs
from shears.runtime import machine
from shears.runtime.errors import plain_errors
from tools.configuration import ROOT, read_configuration, require

WORKERS = (1, 8, 64, 512)
SEEDS, IMAGES, EPOCHS = 2, 5000, 4
# Cores of the run, threads of a training.
WAYS = {
    "one, a thread": (1, 1),
    "two, a thread each": (2, 1),
    "one, two threads": (2, 2),
}


class Job(NamedTuple):
    """A job: how long it lasts, and those it waits for."""

    seconds: float
    needs: tuple[str, ...]


class Outcome(NamedTuple):
    """What came of a simulation.

    Attributes:
        seconds: From the begin to the end of the last job.
        busy: Share of the workers' time in which they work at jobs.
        dispatching: Share of the time in which the handing-out process is at work.
    """

    seconds: float
    busy: float
    dispatching: float


def plan(config: Mapping, benchmarks: Path, seeds: int) -> dict[str, Job]:
    """Lists the jobs of a sweep without Part A.

    Args:
        config: What was run; without a teacher.
        benchmarks: Folder of its benchmark files.
        seeds: How many seeds the sweep has.

    Returns:
        Jobs by name, each behind those it needs.
    """
    measured = config["seeds"]
    require(benchmarks, "snakemake --cores all --configfile config/frontier.yaml")

    def seconds(place: str) -> float:
        seed = int(place.partition("seed_")[2].split("/")[0] or 0)
        place = place.replace(
            f"seed_{seed}/", f"seed_{measured[seed % len(measured)]}/"
        )
        with (benchmarks / f"{place}.tsv").open() as file:
            return float(next(csv.DictReader(file, delimiter="\t"))["s"])

    chosen, jobs = methods(config), {}

    def add(place: str, *needs: str) -> None:
        jobs[place] = Job(seconds(place), needs)

    add("prepare_dataset")
    every = candidates({**config, "seeds": list(range(seeds))})
    for name in every:
        kind, seed, *number = name.split("/")
        if not number:
            add(f"{name}/train_baseline", "prepare_dataset")
            add(f"{name}/score_candidate", f"{name}/train_baseline")
            continue
        first = number[0] == "round_1"
        before = f"{kind}/{seed}/round_{int(number[0][6:]) - 1}/prune_round"
        dense = f"{chosen[kind]['baseline']}/{seed}/train_baseline"
        needs = [dense if first or chosen[kind]["mask_of"] else before]
        if chosen[kind]["mask_of"]:
            needs.append(f"{chosen[kind]['mask_of']}/{seed}/{number[0]}/prune_round")
        add(f"{name}/prune_round", *needs)
        add(f"{name}/score_candidate", f"{name}/prune_round")
    scores = [f"{name}/score_candidate" for name in every]
    add("choose_submission", *scores)
    add("package_submission", "choose_submission")
    add("pack_submission", "package_submission")
    add("score_report", "package_submission")
    return jobs


def critical_path(jobs: Mapping[str, Job], cost: float) -> float:
    """Computes the time that no number of workers can fall below."""
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
        jobs: Each behind those it needs.
        workers: Jobs that run at once.
        cost: Seconds by which a worker has longer than the job itself lasts.
        dispatch: Seconds that handing a job out takes, one job after another.
    """
    waits_for = {name: len(job.needs) for name, job in jobs.items()}
    users: dict[str, list[str]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for other in job.needs:
            users[other].append(name)
    ready = [name for name, count in waits_for.items() if not count]
    running: list[tuple[float, str]] = []
    now = handed = 0.0  # the time, and until when the handing-out process is at work
    while ready or running:
        while ready and len(running) < workers:
            name = ready.pop(0)
            handed = max(now, handed) + dispatch
            heapq.heappush(running, (handed + cost + jobs[name].seconds, name))
        now, name = heapq.heappop(running)
        for user in users[name]:
            waits_for[user] -= 1
            if not waits_for[user]:
                ready.append(user)
    work = sum(job.seconds for job in jobs.values())
    return Outcome(now, work / (workers * now), dispatch * len(jobs) / now)


class Measured(NamedTuple):
    """What a run took: seconds by the clock, of its jobs, and of its main process."""

    wall: float
    stages: float
    dispatching: float


def run_workflow(folder: Path, *arguments: str) -> tuple[float, float]:
    """Runs Snakemake; seconds by the clock, and the main process' own of computing."""
    command = [sys.executable, "-m", "snakemake", "--quiet", "all", *arguments]
    began, own = time.perf_counter(), 0.0
    process = subprocess.Popen(command, cwd=ROOT)
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            own = sum(watched.cpu_times()[:2])
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{folder}: the run failed")
    return time.perf_counter() - began, own


def measure() -> Iterator[tuple[str, Measured]]:
    """Trains the same networks with one and two workers, each run from an empty folder.

    Starting Snakemake and planning are taken off: a run that makes nothing shows them.
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
            (folder / "sweep.json").write_text(json.dumps(changes))
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
            (stages,) = (
                row["seconds"]
                for row in read_costs(folder / "benchmarks")
                if row["rule"] == "train_baseline"
            )
            yield name, Measured(wall - nothing, stages, own - idle)


def write_measured() -> None:
    """Prints what was measured as a table in Markdown."""
    about = machine.describe()
    print("| workers | seconds | networks a minute | efficiency |")
    print("| --- | --- | --- | --- |")
    alone = None
    for name, found in measure():
        alone = alone or found
        share = alone.wall / found.wall / WAYS[name][0]
        print(
            f"| {name} | {found.wall:.0f} | {60 * SEEDS / found.wall:.2f} | "
            f"{share:.0%} |",
            flush=True,
        )
    cost = (alone.wall - alone.stages) / SEEDS
    print(
        f"\n{SEEDS} networks, {IMAGES:,} images, {EPOCHS} epochs, n = 1 run each. "
        f"{about['cpu']}, {about['cores']} cores; commit {about['commit']}. A job "
        f"costs {cost:.1f} s besides its work, {alone.dispatching / SEEDS:.2f} s of "
        "it in the process that hands jobs out."
    )


def write_simulated(config: Mapping, asked: argparse.Namespace) -> None:
    """Prints what was simulated as a table in Markdown."""
    jobs = plan(config, ROOT / config["directory"] / "benchmarks", asked.seeds)
    work = sum(job.seconds for job in jobs.values())
    path = critical_path(jobs, asked.cost)
    print(
        f"{len(jobs):,} jobs, {work / 3600:.1f} hours of work, critical path "
        f"{path / 60:.1f} minutes; {asked.cost:g} s more a job, {asked.dispatch:g} s "
        "to hand one out.\n"
    )
    print("| workers | hours | speed-up | idle | handing out |")
    print("| --- | --- | --- | --- | --- |")
    alone = simulate(jobs, 1, cost=asked.cost, dispatch=asked.dispatch).seconds
    for workers in WORKERS:
        found = simulate(jobs, workers, cost=asked.cost, dispatch=asked.dispatch)
        print(
            f"| {workers} | {found.seconds / 3600:.2f} | {alone / found.seconds:.1f} | "
            f"{1 - found.busy:.0%} | {found.dispatching:.0%} |"
        )


def main() -> None:
    """Measures, or simulates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--measure", action="store_true", help="measure, do not simulate"
    )
    parser.add_argument("--run", default="frontier", help="a finished run's name")
    parser.add_argument("--seeds", type=int, default=50, help="of the sweep")
    parser.add_argument("--cost", type=float, default=10, help="seconds a job")
    parser.add_argument("--dispatch", type=float, default=1, help="seconds a job")
    asked = parser.parse_args()
    if asked.measure:
        write_measured()
    else:
        write_simulated(read_configuration(asked.run), asked)


if __name__ == "__main__":
    with plain_errors():
        main()
