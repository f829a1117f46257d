"""Simulates sweeps on many workers from the measured times of a finished run.

The jobs of a run's configuration, with more seeds than it had, are given to 1, 8, 64
and 512 workers in the order in which they become ready, as Snakemake does. A job lasts
as long as the run's own did (its benchmark file; the seeds take turns), and longer by
what starting and noticing it cost. One process hands all of them out, one after
another: `--dispatch` is the time that it takes for each.
"""

import argparse
import csv
import heapq
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from shears.config import candidates, methods
from tools.configuration import read_configuration

ROOT = Path(__file__).resolve().parents[1]
WORKERS = (1, 8, 64, 512)


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


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="frontier", help="a finished run's name")
    parser.add_argument("--seeds", type=int, default=50, help="of the sweep")
    parser.add_argument("--cost", type=float, required=True, help="seconds a job")
    parser.add_argument("--dispatch", type=float, required=True, help="seconds a job")
    asked = parser.parse_args()
    config = read_configuration(asked.run)
    jobs = plan(config, ROOT / config["directory"] / "benchmarks", asked.seeds)
    work = sum(job.seconds for job in jobs.values())
    path = critical_path(jobs, asked.cost)
    print(
        f"{len(jobs):,} jobs, {work / 3600:.1f} hours of work; critical path "
        f"{path / 60:.1f} minutes\n"
    )
    print("| workers | hours | speed-up | workers' time at work | handing out |")
    print("| --- | --- | --- | --- | --- |")
    alone = simulate(jobs, 1, cost=asked.cost, dispatch=asked.dispatch).seconds
    for workers in WORKERS:
        found = simulate(jobs, workers, cost=asked.cost, dispatch=asked.dispatch)
        print(
            f"| {workers} | {found.seconds / 3600:.2f} | {alone / found.seconds:.1f} | "
            f"{found.busy:.0%} | {found.dispatching:.0%} |"
        )


if __name__ == "__main__":
    main()
