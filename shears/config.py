"""The configuration: its keys, and their checks before anything runs.

The classes are the one source of each key's type, range, default and description;
``make schema`` writes schemas/config.schema.yaml from them. `shears.plan_checks` checks
what names refer to and whether settings fit together.
"""

import re
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_serializer,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from shears.data import servers
from shears.data.views import ViewSettings
from shears.evaluation.selection import Objective
from shears.inference.settings import LatencySettings
from shears.pruning.masks import MaskSettings
from shears.runtime.errors import UserError, brief
from shears.runtime.paths import expand
from shears.runtime.settings import EACH_ONCE, List, Seed, Settings, UniqueList
from shears.runtime.settings_errors import explain
from shears.training.recipe import Recipe, extend_recipes

TRAINING_IMAGES = {"cifar10": 50_000, "digits": 1_500}  # validation included
# No path or address has them: Snakemake's patterns end at a line, and a terminal obeys.
CONTROLS = r"\x00-\x1f\x7f-\x9f"


def _expand(text: str) -> str:
    """Expands a path; braces in it would be Snakemake's wildcards."""
    try:
        path = expand(text)
    except UserError as error:
        raise PydanticCustomError("path", "{reason}", {"reason": str(error)}) from None
    if re.search(f"[{{}}{CONTROLS}]", path):
        reason = (
            f"found {brief(path)}, expected a path without {{, }} and control "
            "characters"
        )
        raise PydanticCustomError("path", "{reason}", {"reason": reason})
    return path


# Every path that a person writes into the configuration, empty for none.
_CHARACTER = rf"([^{{}}{CONTROLS}]|\$\{{\w+\}})"
GivenPath = Annotated[str, Field(pattern=f"^{_CHARACTER}*$"), AfterValidator(_expand)]
GivenFolder = Annotated[str, Field(pattern=f"^{_CHARACTER}+$"), AfterValidator(_expand)]
# More than zero, without an exponent.
BUDGET = r"^(([1-9][0-9]{0,3}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9])(min|h))?$"
# Names of folders may have 255 bytes; a sweep's have two of these.
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,99}$")]
DataSet = Literal[
    "diabetes", "condition_1", "condition_100", "condition_10000", "sparse"
]


class DataSettings(Settings):
    """The images."""

    name: Literal["cifar10", "digits"] = "cifar10"
    """The data set's name."""

    validation_images: Annotated[int, Field(ge=10)] = 5000
    """Training images that are held out for validation."""

    training_images: Annotated[int, Field(ge=0)] = 0
    """Images to train on; 0 for all that validation leaves."""

    urls: Annotated[
        List[
            Annotated[
                str,
                Field(pattern=rf"^https?://[^/ {CONTROLS}][^ {CONTROLS}]*$"),
            ]
        ],
        Field(min_length=1),
    ] = servers.URLS
    """Servers that have the CIFAR-10 archive, in the order they are tried."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = servers.SHA256
    """The checksum that a downloaded archive must have."""

    seed: Seed = 0
    """Seed of the stratified split."""


class TeacherSettings(Settings):
    """Stronger networks that students can be distilled from; never submitted."""

    recipe: str = "teacher"
    """A name under recipes; its dropout, normalise and batch_norm have no effect."""

    width: Annotated[float, Field(ge=0.1, le=16)] = 1.0
    """Multiplier of its numbers of channels."""

    seed: Seed = 0
    """Seed of its initial weights, order of images and augmentation."""

    count: Annotated[int, Field(ge=1, le=100)] = 1
    """How many are trained, with seeds from `seed` on; their logits are averaged."""

    @property
    def seeds(self) -> range:
        """The seed of each."""
        return range(self.seed, self.seed + self.count)


class BaselineSettings(Settings):
    """A network that is pruned: trained here, or imported from a file."""

    recipe: str = "strong"
    """A name under recipes."""

    teacher: Literal["none", "strong"] = "none"
    """The teacher that it is distilled from."""

    weights: GivenPath = ""
    """File of the network (.h5 or .keras) to import instead of training one."""


class RoundSettings(Settings):
    """A round of pruning and fine-tuning."""

    sparsity: Annotated[float, Field(gt=0, lt=1)]
    """Fraction of all parameters that are zero after the round."""

    epochs: Annotated[int, Field(ge=1, le=10_000)]
    """Epochs of pruning and fine-tuning."""


class MethodSettings(MaskSettings):
    """A way to prune."""

    baseline: str = "dense"
    """What is pruned, a name under baselines."""

    recipe: str = "finetune"
    """A name under recipes; each round has its own number of epochs."""

    teacher: Literal["none", "own", "strong"] = "none"
    """The teacher of each round; own is the baseline that is pruned."""

    mask_of: str = ""
    """A method whose masks are used, round by round."""

    rounds: List[RoundSettings] = ()
    """The rounds in order, with rising sparsity."""

    def changed_by(self, other: "MethodSettings") -> "MethodSettings":
        """Overrides the keys that another one sets, and keeps the others."""
        return self.model_copy(
            update={key: getattr(other, key) for key in other.model_fields_set}
        )


class SelectionSettings(Settings):
    """How the submission is chosen."""

    margin: Annotated[float, Field(ge=0, le=10)] = 3.0
    """Standard errors by which validation accuracy must exceed 0.65."""

    objective: Objective = "score"
    """What is best: the highest score or the fewest multiply-adds left per image."""

    accuracy: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Validation accuracy that the submission must exceed, too."""


class OptimizerStudySettings(Settings):
    """Part A: how optimizers are compared on linear regression."""

    data_sets: UniqueList[DataSet] = typing.get_args(DataSet)
    """Data sets of the comparison; an empty list leaves Part A out."""

    updates: Annotated[int, Field(ge=10, le=10_000_000)] = 100_000
    """Updates of each run."""

    # In float32, far less than 1e-30 would be zero.
    lowest_rate: Annotated[float, Field(ge=1e-30, le=1_000_000)] = 1e-4
    """The lowest learning rate to try."""

    highest_rate: Annotated[float, Field(ge=1e-30, le=1_000_000)] = 100.0
    """The highest learning rate to try."""

    rates: Annotated[int, Field(ge=2, le=1000)] = 13
    """Number of learning rates to try, evenly spaced on a logarithmic scale."""


def _check_gpus(value: object) -> object:
    # A Literal takes true and 1.0 for 1 and has another error for a huge number.
    if (type(value), value) not in ((str, "auto"), (int, 0), (int, 1)):
        raise PydanticKnownError("literal_error", {"expected": "auto, 0, 1"})
    return value


class Configuration(Settings):
    """The configuration of Shears. config.yaml explains each key in detail."""

    directory: GivenFolder = "."
    """Folder that results, logs and benchmarks are written to."""

    seeds: Annotated[
        List[Seed],
        Field(min_length=1, max_length=1000, json_schema_extra={"uniqueItems": True}),
        EACH_ONCE,
    ] = (0,)
    """Seeds; baselines and methods are trained once with each."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the forward and backward pass."""

    gpus: Annotated[Literal["auto", 0, 1], BeforeValidator(_check_gpus)] = "auto"
    """GPUs that a training job requests; auto requests one if there are any."""

    budget: Annotated[str, Field(pattern=BUDGET)] = ""
    """Time that epochs are scaled down to fit, such as 90min or 2h; empty for none."""

    tensorboard: bool = False
    """Whether TensorBoard event files are written beside the logs."""

    data: DataSettings = DataSettings()
    """The data set."""

    recipes: Annotated[dict[str, Recipe], Field(min_length=1)]
    """Named ways to train."""

    teacher: TeacherSettings = TeacherSettings()
    """Stronger networks that students can be distilled from; never submitted."""

    views: ViewSettings = ViewSettings()
    """Views of the training images that a teacher's logits are saved for."""

    baselines: Annotated[dict[Name, BaselineSettings], Field(min_length=1)] = {
        "dense": BaselineSettings()
    }
    """Networks that are pruned, by name."""

    pruning: MethodSettings = MethodSettings()
    """How baselines are pruned, round after round."""

    methods: Annotated[dict[Name, MethodSettings], Field(min_length=1)] = {
        "lamp": MethodSettings()
    }
    """Ways to prune, by name; keys that are left out are taken from pruning."""

    run: UniqueList[str] = ("lamp",)
    """The methods that are run, names under methods."""

    with_recipes: UniqueList[Name] = ()
    """Recipes to run each of these methods with, instead of its own."""

    selection: SelectionSettings = SelectionSettings()
    """How the submission is chosen."""

    refit: bool = False
    """Whether the chosen network is trained once more, on all images, to hand in."""

    latency: LatencySettings = LatencySettings()
    """How latency is measured."""

    optimizers: OptimizerStudySettings = OptimizerStudySettings()
    """Part A: how optimizers are compared on linear regression."""

    notebook: GivenPath = ""
    """Your download of the course's notebook, to fill and hand in in place of ours."""

    submissions: GivenPath = ""
    """Folder with a class's weights files, for the target leaderboard."""

    anonymous: bool = False
    """Whether the leaderboard shows pseudonyms in place of names."""

    @field_serializer("baselines")
    def _without_training(
        self, baselines: dict[str, BaselineSettings]
    ) -> dict[str, dict[str, Any]]:
        # A baseline is either trained or imported.
        return {
            name: {"weights": baseline.weights}
            if baseline.weights
            else baseline.model_dump(mode="json", exclude={"weights"})
            for name, baseline in baselines.items()
        }

    @field_serializer("methods")
    def _without_defaults(
        self, methods: dict[str, MethodSettings]
    ) -> dict[str, dict[str, Any]]:
        # A key that is left out is taken from `pruning`, not from the class.
        return {
            name: method.model_dump(mode="json", exclude_unset=True)
            for name, method in methods.items()
        }


def parse_configuration(config: Mapping[str, Any]) -> Configuration:
    """Checks types and ranges of a configuration and fills in its defaults.

    Args:
        config: As read from YAML.

    Raises:
        UserError: The first problem: the key, what was found, what was expected.
    """
    if isinstance(config.get("recipes"), Mapping):
        config = {**config, "recipes": extend_recipes(config["recipes"])}
    try:
        return Configuration.model_validate(dict(config))
    except ValidationError as error:
        raise explain(error, Configuration) from None
