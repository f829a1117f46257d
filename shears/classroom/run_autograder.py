"""Grades a submission on Gradescope; the program ``run_autograder`` calls it.

- ``source/`` has this package and `SETTINGS`,
- ``submission/`` has what the student uploaded,
- ``results/results.json`` is what Gradescope reads.

A fault of ours costs the student's part its points, says so, and leaves the others.
"""

import importlib
import json
import sys
import time
import traceback
from pathlib import Path

from shears.classroom.gradescope_results import Graded, build_results, not_graded
from shears.runtime.files import whole_file

SETTINGS = "settings.json"  #: points by part: ``{"points": {"a": 40, "b": 100}}``
FAILED = (
    "The grader failed, and your upload is not to blame. Tell your teacher; the "
    "autograder's log has the reason."
)
STOPPED = (
    "The grader was stopped before this part was graded: it ran out of time or memory. "
    "Upload again; if it happens again, tell your teacher."
)


def module_of(part: str) -> str:
    """Returns the module that grades a part, which has the function ``grade``."""
    return f"shears.classroom.part_{part}"


def read_points(source: Path) -> dict[str, float]:
    """Reads the points of each part from `SETTINGS`."""
    return json.loads((source / SETTINGS).read_text(encoding="utf-8"))["points"]


def grade_part(part: str, submission: Path, source: Path, points: float) -> Graded:
    """Grades one part; never fails.

    Args:
        part: "a" or "b".
        submission: The folder with what the student has uploaded.
        source: The folder with the grader.
        points: What the part is worth.
    """
    try:
        grade = importlib.import_module(module_of(part)).grade
        return grade(submission, source, points)
    except Exception:  # whatever it is, the other part is graded
        traceback.print_exc()
        return not_graded(part, points, FAILED)


def run(root: Path) -> None:
    """Grades all parts; results.json is valid at any moment.

    Args:
        root: The folder that is ``/autograder`` on Gradescope.
    """
    started = time.monotonic()
    source, results = root / "source", root / "results/results.json"
    points = read_points(source)
    # Cheapest first: should the notebook take all the memory, Part B has its points.
    graded = {part: not_graded(part, points[part], STOPPED) for part in points}

    def write() -> None:
        in_order = [graded[part] for part in sorted(graded)]
        content = build_results(in_order, time.monotonic() - started)
        with whole_file(results) as file:
            file.write(json.dumps(content, indent=2, allow_nan=False).encode())

    write()
    for part in sorted(points, reverse=True):
        graded[part] = grade_part(part, root / "submission", source, points[part])
        write()


def check(source: Path) -> None:
    """Checks that the grader is complete: imports its parts, unpacks its images.

    Raises:
        Exception: It is not.
    """
    for part in read_points(source):
        importlib.import_module(module_of(part)).check(source)


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(Path(sys.argv[2], "source"))
    else:
        run(Path(sys.argv[1]))
