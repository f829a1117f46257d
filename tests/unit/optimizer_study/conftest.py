"""The cells of a small study, measured once."""

import pytest

from shears.optimizer_study import regression
from shears.optimizer_study.study import IMPLEMENTATIONS, METHODS, measure

RATES = [0.01, 0.1, 0.9, 30.0]
UPDATES = 400


@pytest.fixture(scope="session")
def cells():
    problem = regression.DATA_SETS["condition_1"]()
    return {
        "condition_1": {
            name: {
                implementation: measure(
                    problem,
                    name,
                    implementation,
                    learning_rates=RATES,
                    updates=UPDATES,
                )
                for implementation in IMPLEMENTATIONS
            }
            for name in METHODS
        }
    }
