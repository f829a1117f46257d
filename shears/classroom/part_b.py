"""Grades Part B on Gradescope: a weights file, without TensorFlow."""

import time
from pathlib import Path

from shears.classroom.gradescope_results import Graded, Test
from shears.classroom.submitted_file import find_file
from shears.data.dataset import Split
from shears.data.packed_images import unpack
from shears.evaluation.score import LEAST_ACCURACY, score
from shears.model.architecture import PARAMETERS
from shears.model.numpy_forward import logits, predictions
from shears.model.parameters import Parameters
from shears.runtime.errors import RefusedFile, UserError, printable
from shears.weight_files.reader import WeightsFile, read_weights_file

NAME = "my_model_weights.h5"  # what the assignment asks for
SUFFIXES = (".h5", ".hdf5", ".keras")
IMAGES = "test_images.packed"  #: beside the package (`shears.data.packed_images`)
ACCEPTED = "Part B: the file is accepted"
ACCURATE = f"Part B: the accuracy is above {LEAST_ACCURACY}"
SCORE = "Part B: the score"
SECONDS = 300  #: of processor time that computing the predictions may take


def check(source: Path) -> Split:
    """Reads the test images and checks them.

    Args:
        source: The folder with `IMAGES`.

    Raises:
        UserError: They are damaged.
    """
    try:
        return unpack((source / IMAGES).read_bytes())
    except UserError as error:
        raise UserError(f"{source / IMAGES}: {error}") from error


def _count_correct(parameters: Parameters, test: Split, seconds: float) -> int:
    """Counts correct predictions.

    Raises:
        UserError: It takes too long.
    """
    end = time.process_time() + seconds

    def progress(images: int) -> None:
        if time.process_time() > end:
            raise UserError(
                f"computing the predictions took more than {seconds:g} seconds for "
                f"{images:,} of {len(test.labels):,} images, expected 20 for all: "
                "weights as small as 1e-20 make processors slow"
            )

    outputs = logits(parameters, test.images, progress)
    return int((predictions(outputs) == test.labels).sum())


def _accepted(name: str, contents: WeightsFile) -> Test:
    """Says what the file is."""
    lines = [f"{name}: {contents.layout}, written by Keras {contents.writer}"]
    lines += [f"ignored: {what}" for what in contents.ignored]
    return Test(ACCEPTED, True, 0, 0, "\n".join(lines))


def _scored(contents: WeightsFile, correct: int, images: int, points: float) -> Graded:
    """Makes the result of a file whose accuracy is known."""
    zeros = contents.parameters.count_zeros()
    accuracy, sparsity = correct / images, zeros / PARAMETERS
    result = score(accuracy, zeros)
    enough = accuracy > LEAST_ACCURACY
    formula = (
        f"({accuracy:.4f} + {sparsity:.6f}) / 2 = {result:.6f}"
        if enough
        else f"0, because the accuracy is not above {LEAST_ACCURACY}"
    )
    tests = [
        Test(ACCURATE, enough, 0, 0, f"{correct:,} of {images:,} images: {accuracy}"),
        Test(
            SCORE,
            enough,
            points * result,
            points,
            f"score: {formula}\n"
            f"sparsity: {zeros:,} of {PARAMETERS:,} weights are zero\n"
            f"points: {points:g} x score",
        ),
    ]
    leaderboard = {"Score": result, "Accuracy": accuracy, "Sparsity": sparsity}
    return Graded(tests, leaderboard)


def grade(
    submission: Path, source: Path, points: float, seconds: float = SECONDS
) -> Graded:
    """Grades a student's weights file. Nothing in it is run.

    Args:
        submission: The folder with what the student has uploaded.
        source: The folder with `IMAGES`.
        points: For a score of 1.
        seconds: Processor time that computing the predictions may take.

    Raises:
        UserError: The test images are damaged, which is no fault of the student.
        MachineError: Nor is it if the file cannot be read here.
    """
    name = NAME
    try:
        path = find_file(submission, NAME, SUFFIXES)
        name = str(path.relative_to(submission))
        contents = read_weights_file(path)
    except RefusedFile as error:
        # The reader names the whole path, which is the grader's.
        text = str(error).removeprefix(printable(f"{submission}/"))
        refusal = Test(ACCEPTED, False, 0, 0, text)
        return Graded([refusal, Test(SCORE, False, 0, points, "no file to score")])
    accepted = _accepted(name, contents)
    test = check(source)
    try:
        correct = _count_correct(contents.parameters, test, seconds)
    except UserError as error:
        return Graded([accepted, Test(SCORE, False, 0, points, str(error))])
    scored = _scored(contents, correct, len(test.labels), points)
    return Graded([accepted, *scored.tests], scored.leaderboard)
