import pytest

from shears.config import parse_configuration
from shears.methods import find_methods
from shears.plan_checks import RESERVED, check_methods, check_recipe, check_sections
from shears.runtime.errors import UserError
from tests.configurations import CONFIG, merge


def test_the_shipped_configuration_passes_every_check():
    config = parse_configuration(CONFIG)
    check_sections(config)
    check_methods(config, find_methods(config))
    for name in config.recipes:
        check_recipe(config, name, "here", None)


@pytest.mark.parametrize("name", sorted(RESERVED))
@pytest.mark.parametrize("kind", ["baselines", "methods"])
def test_no_network_has_the_name_of_another_folder_of_results(kind, name):
    config = parse_configuration(merge(CONFIG, {kind: {name: {}}}))
    with pytest.raises(UserError, match=f"^{kind}: found the name '{name}', expected"):
        check_sections(config)


def test_a_recipe_is_checked_with_the_epochs_of_its_place():
    config = parse_configuration(merge(CONFIG, {"recipes": {"teacher": {"epochs": 1}}}))
    check_recipe(config, "teacher", "here", 2)
    for epochs in (None, 1):
        with pytest.raises(UserError, match="less than the 1 epochs of here"):
            check_recipe(config, "teacher", "here", epochs)
