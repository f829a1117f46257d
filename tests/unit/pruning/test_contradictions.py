import pytest

from shears.pruning.contradictions import find_contradiction
from shears.pruning.masks import MaskSettings


def test_settings_that_go_together_have_no_contradiction():
    for settings, mask_of in (
        (MaskSettings(), ""),
        (MaskSettings(drop_fraction=0.3), ""),
        (MaskSettings(dynamic=True, saliency="first_order"), ""),
        (MaskSettings(start="initial"), ""),
        (MaskSettings(saliency="second_moment"), ""),
        (MaskSettings(saliency="second_moment", dynamic=True, end_step=0), ""),
        (MaskSettings(start="initial", shuffled=True), "lamp"),
    ):
        assert find_contradiction(settings, mask_of=mask_of) is None


@pytest.mark.parametrize(
    ("changes", "mask_of", "message"),
    [
        (
            {"shuffled": True},
            "",
            "shuffled: found true, expected false without mask_of",
        ),
        ({"dynamic": True}, "lamp", "dynamic: found true, expected false where start"),
        (
            {"drop_fraction": 0.3, "dynamic": True},
            "",
            "drop_fraction: found 0.3, expected 0 with dynamic masks",
        ),
        (
            {"start": "initial", "saliency": "first_order"},
            "",
            "saliency: found 'first_order', expected magnitude or random where start",
        ),
        *(
            (
                {"least_units": 0.5, key: value},
                "",
                "least_units: found 0.5, expected 0 where drop_fraction is set or",
            )
            for key, value in (("drop_fraction", 0.3), ("granularity", "unit"))
        ),
        (
            {"saliency": "second_moment", "start": "initial"},
            "",
            "saliency: found 'second_moment', expected magnitude or random where",
        ),
        (
            {"saliency": "second_moment", "end_step": 0},
            "",
            "saliency: found 'second_moment', expected another where end_step is 0",
        ),
        *(
            ({key: value, other: setting}, "", f"{key}: found {found}, expected {off}")
            for key, value, found, off in (
                ("drop_fraction", 0.3, "0.3", "0"),
                ("dynamic", True, "true", "false"),
            )
            for other, setting in (("start", "initial"), ("granularity", "unit"))
        ),
    ],
)
def test_a_contradiction_is_named_by_the_key_that_is_refused(changes, mask_of, message):
    problem = find_contradiction(MaskSettings(**changes), mask_of=mask_of)
    assert problem.message.startswith(message)
    assert problem.message.startswith(problem.keys[0])


def test_a_second_moment_needs_adam():
    settings = MaskSettings(saliency="second_moment")
    problem = find_contradiction(settings, optimizer="sgd")
    assert problem.keys == ("saliency", "recipe")
    assert "expected another with the optimizer sgd: Adam's" in problem.message
