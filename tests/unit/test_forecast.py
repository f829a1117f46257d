"""How long jobs will take and how much disk they need."""

from dataclasses import replace

import pytest

from shears import forecast
from shears.forecast import (
    STARTED,
    Work,
    disk_needed,
    in_bytes,
    in_words,
    logits_work,
    name_jobs,
    together,
    training_work,
)
from shears.training.checkpoint import Checkpoint, State, checkpoint_key
from shears.training.recipe import Recipe
from shears.training.speed import StepTime

RECIPE = Recipe(learning_rate=1e-3, epochs=10)
SETTINGS = {"recipe": RECIPE.model_dump(mode="json"), "precision": "float32"}


def work(name="train_baseline", resumes="none.npz", **changes):
    """A training of ten epochs on 900 images, with 300 for validation."""
    about = {"images": 900, "validation_images": 300, "resumes": resumes, "code": "c"}
    return training_work(name, 2, {**SETTINGS, **changes}, **about)


@pytest.fixture
def measured(monkeypatch):
    """Steps that are measured: 0.01 s for an image, TensorFlow starts as usual."""
    asked = []

    def measure(steps, *, threads, gpus):
        asked.append((len(steps), threads))
        return STARTED, [StepTime(3.0, 0.01) for _ in steps]

    monkeypatch.setattr(forecast, "measure", measure)
    return asked


def test_a_training_takes_its_images_and_what_is_around_them(measured):
    found = forecast.forecast([work(), work("prune_round"), Work("score_report", 1)])
    training = 10 * (900 + 100) * 0.01
    assert found.seconds[0] == pytest.approx(training + STARTED + 3 + 2.5)
    assert found.seconds[1] == found.seconds[0]
    assert found.seconds[2] == pytest.approx(7)
    assert found.speeds == {"student": 100}
    assert measured == [(1, 2)]  # steps that are alike are measured once


def test_trainings_of_a_demo_took_what_is_reckoned(monkeypatch):
    """The seconds are those of a real `make demo`, whose speed was 1,339 images/s."""
    found = StepTime(3.0, 1 / 1339)
    monkeypatch.setattr(forecast, "measure", lambda *_, **__: (STARTED, [found]))
    for epochs, seconds in ((8, 15.78), (6, 13.25), (6, 13.08), (12, 20.64)):
        recipe = RECIPE.model_copy(update={"epochs": epochs}).model_dump(mode="json")
        settings = {"recipe": recipe, "precision": "float32"}
        done = training_work(
            "prune_round",
            2,
            settings,
            images=1200,
            validation_images=300,
            resumes="none.npz",
            code="c",
        )
        assert forecast.forecast([done]).seconds[0] == pytest.approx(seconds, rel=0.1)


def test_the_teacher_is_measured_by_itself(measured):
    logits = logits_work(
        "save_teacher_logits", 2, RECIPE, "float32", views=6, images=900, width=0.5
    )
    found = forecast.forecast([work("train_teacher", width=0.5), work(), logits])
    assert measured == [(2, 2)]
    assert set(found.speeds) == {"teacher", "student"}
    assert found.seconds[2] == pytest.approx(6 * 900 / 3 * 0.01 + STARTED + 3 + 2.5)


def test_nothing_is_measured_where_nothing_trains(measured):
    forecast.forecast([Work("score_report", 1), Work("unheard_of", 1)])
    found = forecast.forecast([work()], measured=False)
    assert measured == [] and found.speeds == {}
    assert found.seconds[0] == pytest.approx(10 + STARTED + 3 + 2.5)


@pytest.mark.parametrize(("saved", "left"), [({}, 6), ({"seed": 1}, 10)])
def test_a_checkpoint_of_the_same_settings_leaves_fewer_epochs(tmp_path, saved, left):
    key = checkpoint_key([], {**SETTINGS, **saved}, "c", precision="float32")
    path = tmp_path / "a.npz"
    Checkpoint(path, key).save(State({}, [{"loss": 1.0}] * 4, False))
    assert work(resumes=path).images == left * (900 + 100)


def test_jobs_share_the_machine_by_their_threads():
    works = [work(), Work("score_candidate", 1), Work("score_candidate", 1)]
    assert together(works, [10, 6, 6], cores=2) == ([1, 0.5, 0.5], 16)
    assert together(works, [10, 6, 6], cores=8, gpus=1)[0] == [1, 0.125, 0.125]


def test_jobs_that_wait_for_each_other_leave_cores_idle():
    works = [Work("score_candidate", 1)] * 3
    chain = together(works, [10, 20, 30], cores=64, after=[set(), {0}, {1}])
    assert chain[1] == pytest.approx(60)
    assert chain[0] == pytest.approx([1, 1, 1])
    fork = together(works, [10, 20, 30], cores=64, after=[set(), {0}, {0}])
    assert fork[1] == pytest.approx(40)
    assert together(works, [10, 20, 30], cores=1, after=[(), {0}, {0}])[1] == 60


def test_each_number_of_threads_is_measured(measured):
    jobs = [work(), replace(work(), threads=1), replace(work("prune_round"), threads=1)]
    assert len(forecast.forecast(jobs).seconds) == 3
    assert measured == [(1, 1), (1, 2)]


def test_the_disk_holds_what_a_run_writes():
    def needed(*names, **how):
        works = [Work(name, 1) for name in names]
        return disk_needed(works, **{"data": "cifar10", "downloads": 0, **how})

    assert needed() == 0
    assert 184_000_000 < needed("prepare_dataset") < 186_000_000  # 184,385,856 found
    assert 29e6 < needed("prune_round") < 32e6  # a checkpoint of 25 MB, and results
    assert needed(downloads=1) == 170_052_171


def test_a_refit_takes_what_the_jobs_take_that_it_repeats():
    def expect(*names):
        works = [Work(name, 2) for name in names]
        disk = disk_needed(works, data="cifar10", downloads=False)
        return disk, forecast.forecast(works).seconds

    assert expect("refit_dataset", "refit_round", "refit_score") == (
        expect("prepare_dataset", "prune_round", "score_candidate")
    )
    assert name_jobs(["refit_teacher", "refit_round", "score_report"]) == (
        "the report, the refit of the chosen network"
    )


def test_logits_in_several_files_take_what_they_would_in_one():
    def save(views, networks=1):
        return logits_work(
            *("save_teacher_logits", 2, RECIPE, "float32"),
            views=views,
            images=45_000,
            width=1.0,
            networks=networks,
        )

    parts, whole = [save(16), save(16), save(4)], save(36)
    needed = [disk_needed(w, data="cifar10", downloads=False) for w in (parts, [whole])]
    assert needed[0] == pytest.approx(needed[1], abs=1_000_000)
    assert 45e6 < needed[1] < 48e6  # 20,882,296 bytes were found for 16 views
    assert sum(part.images for part in parts) == whole.images
    assert save(36, networks=3).images == 3 * whole.images


def test_words_are_as_exact_as_what_is_known():
    assert [in_words(s) for s in (1, 62, 600, 7_500, 7_200)] == [
        "5 s",
        "60 s",
        "10 min",
        "2 h 5 min",
        "2 h",
    ]
    assert [in_bytes(n) for n in (1, 1.7e8, 1.24e9)] == ["1 MB", "170 MB", "1.2 GB"]
    assert name_jobs(["score_report", "prune_round", "prune_round"]) == (
        "2 pruning rounds, the report"
    )
