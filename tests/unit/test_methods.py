import copy

from tests.configurations import CONFIG, check_all, merge


def test_methods_come_after_those_whose_masks_they_take_with_all_settings():
    planned = check_all({**CONFIG, "run": ["mask_from_scratch", "erk"]})
    assert list(planned.methods) == ["lamp", "mask_from_scratch", "erk"]
    own = {
        "lamp": {},
        "mask_from_scratch": {"start": "initial", "mask_of": "lamp"},
        "erk": {"allocation": "erk"},
    }
    for name, changes in own.items():
        method = planned.methods[name]
        expected = planned.config.pruning.model_copy(update=changes)
        assert (method.key, method.settings) == (name, expected)
    assert planned.baselines == ["dense"]


def test_recipes_of_a_sweep_multiply_the_methods_and_their_masks():
    config = {**copy.deepcopy(CONFIG), "run": ["mask_from_scratch", "lamp"]}
    config["recipes"]["long"] = {"learning_rate": 0.001}
    planned = check_all({**config, "with_recipes": ["finetune", "long"]})
    assert list(planned.methods) == [
        *("lamp-finetune", "mask_from_scratch-finetune"),
        *("lamp-long", "mask_from_scratch-long"),
    ]
    for name, method in planned.methods.items():
        assert method.settings.recipe == name.split("-")[1]
    assert planned.methods["mask_from_scratch-long"].settings.mask_of == "lamp-long"
    assert planned.candidates[-1] == "mask_from_scratch-long/seed_0/round_2"
    assert planned.baselines == ["dense"]


def test_a_hundred_methods_may_take_masks_from_each_other():
    chain = {f"m{i}": {"mask_of": f"m{i + 1}"} for i in range(99)}
    config = merge(CONFIG, {"methods": {**chain, "m99": {}}, "run": ["m0"]})
    assert list(check_all(config).methods) == [f"m{i}" for i in reversed(range(100))]
