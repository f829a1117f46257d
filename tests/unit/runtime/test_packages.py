import pytest

from shears.runtime.errors import UserError
from shears.runtime.packages import check_packages


def test_a_missing_package_is_named_with_what_installs_it():
    check_packages(["json", "numpy"], "a test", "class")
    with pytest.raises(UserError) as caught:
        check_packages(["numpy", "no_such_package"], "a test", "class")
    assert str(caught.value) == (
        "the package no_such_package is missing, which a test needs; in a checkout of "
        "Shears: pip install '.[class]'"
    )
