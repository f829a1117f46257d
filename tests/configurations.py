"""The shipped configuration, changes of it, and those that are refused."""

import copy

import yaml

from shears.config import parse_configuration
from shears.plan import Plan, plan
from tests import ROOT

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def check_all(config: dict) -> Plan:
    """What the Snakefile does."""
    return plan(parse_configuration(config))


def merge(base: dict, change: dict) -> dict:
    """Overrides one level deep, and recipes two."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        if key in ("recipes", "methods", "baselines") and value:
            for name, entry in value.items():
                result[key].setdefault(name, {}).update(entry)
        elif isinstance(value, dict) and value:
            result[key].update(value)
        else:
            result[key] = value
    return result


# A change of the configuration, and what the error says.
BAD = {
    "unknown key": ("sed: 1", "unknown key 'sed'; did you mean seeds?"),
    "unknown key inside": (
        "pruning: {round: []}",
        "pruning: unknown key 'round'; did you",
    ),
    "a key that a terminal would obey": (
        'teacher: {"\\e[31m": 1}',
        r"teacher: unknown key '\x1b[31m'; known: recipe, width, seed",
    ),
    "a name that a terminal would obey": (
        'recipes: {"\\e[31m": {epoch: 1}}',
        r"recipes: \x1b[31m: unknown key 'epoch'; did you mean epochs?",
    ),
    "a key that is not UTF-8": (
        'teacher: {"\\ud800": 1}',
        r"teacher: unknown key '\\ud800'; known: recipe, width, seed",
    ),
    "unknown key in a round": (
        "pruning: {rounds: [{sparsity: 0.9, epochs: 1, lr: 1}]}",
        "pruning: rounds[0]: unknown key 'lr'; known: sparsity, epochs",
    ),
    **{
        f"a key that is {key}": (f"{key}: 1", f"configuration: unknown key {shown}; kn")
        for key, shown in {
            "~": "null",
            "1": "1",
            "true": "true",
            ".nan": "nan",
            "-.inf": "-inf",
            "2020-01-31": "2020-01-31",
        }.items()
    },
    "a key of a section that is null": (
        "teacher: {~: 1}",
        "teacher: unknown key null; known: recipe, width, seed",
    ),
    "a recipe without a name": (
        "recipes: {~: {learning_rate: 0.1}}",
        "recipes: found null, expected text - Named ways to train",
    ),
    "a recipe whose name is a number": (
        "recipes: {1: {learning_rate: 0.1}}",
        "recipes: found 1, expected text - Named ways to train",
    ),
    "a method whose name is a date": (
        "methods: {2020-01-31: {}}",
        "methods: found 2020-01-31, expected text - Ways to prune",
    ),
    "a date for a number": (
        "seeds: [2020-01-31]",
        "seeds[0]: found 2020-01-31, expected a whole number",
    ),
    "wrong type": ("seeds: [one]", "seeds[0]: found 'one', expected a whole number"),
    "boolean as --config reads it": (
        "tensorboard: 'true'",
        "tensorboard: found 'true', expected true or false (after --config: True or",
    ),
    "a budget without a unit": (
        "budget: '90'",
        "budget: found '90', expected text that matches",
    ),
    "a budget that is a number": ("budget: 90", "budget: found 90, expected text"),
    "a budget as a clock shows it": (
        "budget: '1:30'",
        "budget: found '1:30', expected text that matches",
    ),
    "boolean": ("seeds: [true]", "seeds[0]: found true, expected a whole number"),
    "one seed, no list": ("seeds: 0", "seeds: found 0, expected a list"),
    "a seed with a fraction of 0": (
        "seeds: [1.0]",
        "seeds[0]: found 1.0, expected a whole number",
    ),
    "epochs with a fraction of 0": (
        "recipes: {teacher: {epochs: 2.0}}",
        "recipes: teacher: epochs: found 2.0, expected a whole number",
    ),
    "a seed twice": ("seeds: [1, 1]", "seeds: found [1, 1], expected each item once"),
    "a boolean for a number of GPUs": (
        "gpus: true",
        "gpus: found true, expected one of auto, 0, 1",
    ),
    "a number of GPUs with a fraction": ("gpus: 1.0", "found 1.0, expected one of"),
    "a huge number of GPUs": ("gpus: 1" + 30 * "0", "00, expected one of auto, 0, 1"),
    "a bad name of a method": (
        "methods: {Bad Name: {}}",
        "methods: found 'Bad Name', expected text that matches",
    ),
    "a bad name of a baseline": ("baselines: {UPPER: {}}", "baselines: found 'UPPER'"),
    "a method named like a folder": ("methods: {figures: {}}", "the name 'figures'"),
    "an unknown recipe beside one that a terminal would obey": (
        'recipes: {"\\e[31m": {learning_rate: 1}}\nteacher: {recipe: none}',
        r"teacher: recipe: found 'none', expected one of the recipes: \x1b[31m, ",
    ),
    "no seed": ("seeds: []", "seeds: found [], expected at least 1 item"),
    "list for mapping": ("pruning: []", "pruning: found [], expected a mapping"),
    "null": ("data: null", "data: found null, expected a mapping"),
    "exponent without a dot": (
        "recipes: {strong: {learning_rate: 2e-3}}",
        "learning_rate: found '2e-3', expected a number (YAML needs a dot: 2.0e-3)",
    ),
    "sparsity 1": (
        "pruning: {rounds: [{sparsity: 1, epochs: 1}]}",
        "expected less than 1",
    ),
    "sparsity 0": (
        "pruning: {rounds: [{sparsity: 0, epochs: 1}]}",
        "expected more than 0",
    ),
    "sparsity in percent": (
        "pruning: {rounds: [{sparsity: 95, epochs: 1}]}",
        "pruning: rounds[0]: sparsity: found 95, expected less than 1 - Fraction",
    ),
    "sparsity NaN": (
        "pruning: {rounds: [{sparsity: .nan, epochs: 1}]}",
        "pruning: rounds[0]: sparsity: found nan, expected a finite number",
    ),
    "not rising": (
        "pruning: {rounds: [{sparsity: 0.9, epochs: 1}, {sparsity: 0.9, epochs: 1}]}",
        "pruning: rounds[1]: sparsity: found 0.9, expected more than 0.9",
    ),
    "zero epochs": (
        "pruning: {rounds: [{sparsity: 0.9, epochs: 0}]}",
        "pruning: rounds[0]: epochs: found 0, expected at least 1",
    ),
    "epochs missing": (
        "pruning: {rounds: [{sparsity: 0.9}]}",
        "pruning: rounds[0]: key 'epochs' is missing",
    ),
    "unknown recipe": (
        "baselines: {dense: {recipe: stong}}",
        "baselines: dense: recipe: found 'stong', expected one of the recipes: assig",
    ),
    "unknown recipe of a method": (
        "methods: {lamp: {recipe: stong}}",
        "methods: lamp: recipe: found 'stong', expected one of the recipes: assignment",
    ),
    "unknown recipe of the rounds": (
        "pruning: {recipe: stong}",
        "pruning: recipe: found 'stong', expected one of the recipes: assignment,",
    ),
    "unknown recipe of the teacher": (
        "teacher: {recipe: stong}",
        "teacher: recipe: found 'stong', expected one of the recipes: assignment,",
    ),
    "unknown teacher": (
        "pruning: {teacher: stong}",
        "pruning: teacher: found 'stong', expected one of none, own, strong",
    ),
    "a baseline that teaches itself": (
        "baselines: {dense: {teacher: own}}",
        "baselines: dense: teacher: found 'own', expected one of none, strong",
    ),
    "unknown allocation": (
        "pruning: {allocation: lmap}",
        "pruning: allocation: found 'lmap', expected one of lamp, global",
    ),
    "unknown allocation of a method": (
        "methods: {erk: {allocation: lmap}}",
        "methods: erk: allocation: found 'lmap', expected one of lamp, global",
    ),
    "unknown key of a method": (
        "methods: {erk: {alocation: erk}}",
        "methods: erk: unknown key 'alocation'; did you mean allocation?",
    ),
    "unknown method": (
        "run: [lmap]",
        "run[0]: found 'lmap', expected one of the methods: dynamic, erk, first_order,",
    ),
    "unknown baseline": (
        "pruning: {baseline: dens}",
        "pruning: baseline: found 'dens', expected one of the baselines: dense",
    ),
    "unknown baseline of a method": (
        "methods: {lamp: {baseline: dens}}",
        "methods: lamp: baseline: found 'dens', expected one of the baselines: dense",
    ),
    "masks of an unknown method": (
        "{methods: {a: {mask_of: lmap}}, run: [a]}",
        "methods: a: mask_of: found 'lmap', expected one of the methods: a, dynamic,",
    ),
    "masks taken in a circle": (
        "{methods: {a: {mask_of: b}, b: {mask_of: a}}, run: [a]}",
        "methods: a: mask_of: found a cycle (a -> b -> a), expected a method with",
    ),
    "masks taken through 1,500 methods": (
        "{methods: {"
        + "".join(f"m{i}: {{mask_of: m{i + 1}}}, " for i in range(1500))
        + "m1500: {}}, run: [m0]}",
        "methods: m0: mask_of: found a chain of more than 100 methods, expected the",
    ),
    "masks taken in a circle of 90": (
        "{methods: {"
        + "".join(f"m{i}: {{mask_of: m{(i + 1) % 90}}}, " for i in range(90))
        + "}, run: [m0]}",
        "methods: m0: mask_of: found a cycle (m0 -> m1 -> m2 -> m3",
    ),
    "masks of other sparsities": (
        "{methods: {a: {mask_of: lamp, rounds: [{sparsity: 0.5, epochs: 1}]}}, "
        "run: [a]}",
        "methods: a: rounds: found sparsities [0.5], expected those of lamp, whose",
    ),
    "first-order saliency before there is a gradient": (
        "{methods: {a: {start: initial, saliency: first_order}}, run: [a]}",
        "methods: a: saliency: found 'first_order', expected magnitude or random where",
    ),
    "a second moment before there is one": (
        "{methods: {a: {start: initial, saliency: second_moment}}, run: [a]}",
        "methods: a: saliency: found 'second_moment', expected magnitude or random",
    ),
    "a second moment where there is one mask": (
        "{methods: {a: {saliency: second_moment, end_step: 0}}, run: [a]}",
        "methods: a: saliency: found 'second_moment', expected another where end_step",
    ),
    "a second moment of sgd": (
        "{recipes: {finetune: {optimizer: sgd}}, run: [second_moment]}",
        "methods: second_moment: saliency: found 'second_moment', expected another "
        "with the optimizer sgd: Adam's",
    ),
    "a method called like a baseline": (
        "methods: {dense: {}}",
        "methods: found the name 'dense', expected another: the folder results/dense",
    ),
    "a baseline called like a folder": (
        "baselines: {teacher: {}}",
        "baselines: found the name 'teacher', expected another: the folder",
    ),
    "a method called like a folder": (
        "methods: {submission: {}}",
        "methods: found the name 'submission', expected another: the folder",
    ),
    "a name that ends a line": (
        'methods: {"x\\n": {}}',
        r"methods: found 'x\n', expected text that matches ^[a-z][a-z0-9_]{0,99}$",
    ),
    "a name too long for a folder": (
        f"baselines: {{{'a' * 256}: {{}}}}",
        "baselines: found 'aaaaaaaaaaaa...aaaaaaaaaaaaa', expected text that matches",
    ),
    "a name with a slash": (
        "methods: {a/b: {}}",
        "methods: found 'a/b', expected text that matches",
    ),
    "five densities": (
        "pruning: {densities: [1, 1, 1, 1, 1]}",
        "pruning: densities: found [1, 1, 1, 1, 1], expected at least 6 items",
    ),
    "seven densities": (
        "pruning: {densities: [1, 1, 1, 1, 1, 1, 1]}",
        "pruning: densities: found [1, 1, 1, 1, 1, 1, ...], expected at most 6 items",
    ),
    "a floor of everything": (
        "pruning: {floor: 1}",
        "pruning: floor: found 1, expected less than 1",
    ),
    "no training images to speak of": (
        "data: {validation_images: 5000, training_images: 9}",
        "data: training_images: found 9, expected 10 to 44,990, or 0 for all 45,000",
    ),
    "more training images than there are": (
        "data: {validation_images: 5000, training_images: 45001}",
        "data: training_images: found 45,001, expected 10 to 44,990, or 0 for all",
    ),
    "more than all of the teacher's": (
        "recipes: {finetune: {distillation: 1.1}}",
        "recipes: finetune: distillation: found 1.1, expected at most 1",
    ),
    "a floor that the sparsity cannot have": (
        "pruning: {floor: 0.1}",
        "pruning: floor: found 0.1, which keeps 125,731 weights, expected at most the",
    ),
    "masks shuffled of nobody": (
        "methods: {lamp: {shuffled: true}}",
        "methods: lamp: shuffled: found true, expected false without mask_of",
    ),
    "drop and grow with one mask": (
        "{methods: {a: {start: initial, drop_fraction: 0.1}}, run: [a]}",
        "methods: a: drop_fraction: found 0.1, expected 0 where start is initial,",
    ),
    "growth of single weights where units are pruned": (
        "{methods: {a: {granularity: unit, drop_fraction: 0.1}}, run: [a]}",
        "methods: a: drop_fraction: found 0.1, expected 0 where start is initial,",
    ),
    "dynamic masks with one mask": (
        "{methods: {a: {start: initial, dynamic: true}}, run: [a]}",
        "methods: a: dynamic: found true, expected false where start is initial,",
    ),
    "dynamic masks of whole units": (
        "pruning: {granularity: unit, dynamic: true}",
        "pruning: dynamic: found true, expected false where start is initial, mask_of",
    ),
    "dynamic masks with drop and grow": (
        "{pruning: {dynamic: true}, run: [rigl]}",
        "methods: rigl: drop_fraction: found 0.3, expected 0 with dynamic masks",
    ),
    "unknown granularity": (
        "pruning: {granularity: channel}",
        "pruning: granularity: found 'channel', expected one of weight, unit",
    ),
    "a sweep over a recipe nobody wrote": (
        "with_recipes: [finetune, longer]",
        "with_recipes: recipe: found 'longer', expected one of the recipes: assignment",
    ),
    "no view": ("views: {count: 0}", "views: count: found 0, expected at least 1"),
    "two dropout rates": (
        "recipes: {strong: {dropout: [0.1, 0.2]}}",
        "recipes: strong: dropout: found [0.1, 0.2], expected at least 3 items",
    ),
    "a data set twice": (
        "optimizers: {data_sets: [sparse, sparse]}",
        "optimizers: data_sets: found ['sparse', 'sparse'], expected each item once",
    ),
    "an unknown data set": (
        "optimizers: {data_sets: [iris]}",
        "optimizers: data_sets[0]: found 'iris', expected one of diabetes, condition_1",
    ),
    "learning rates that fall": (
        "optimizers: {lowest_rate: 1, highest_rate: 0.1}",
        "optimizers: highest_rate: found 0.1, expected more than 1, lowest_rate",
    ),
    "one learning rate": (
        "optimizers: {rates: 1}",
        "optimizers: rates: found 1, expected at least 2",
    ),
    "a recipe that extends none": (
        "recipes: {cold: {extends: finetun, temperature: 1}}",
        "recipes: cold: extends: found 'finetun', expected one of the recipes: assignm",
    ),
    "a recipe that extends itself by way of another": (
        "recipes: {cold: {extends: colder}, colder: {extends: cold}}",
        "recipes: colder: extends: found 'cold', expected a recipe that does not",
    ),
    "a recipe that extends a number": (
        "recipes: {cold: {extends: 1}}",
        "recipes: cold: extends: found 1, expected text - Another recipe",
    ),
    "a recipe that extends one with a mistake": (
        "recipes: {cold: {extends: warm}, warm: {learning_rate: 0}}",
        "recipes: cold: learning_rate: found 0, expected more than 0",
    ),
    "learning rate 0": (
        "recipes: {strong: {learning_rate: 0}}",
        "recipes: strong: learning_rate: found 0, expected more than 0",
    ),
    "too many for validation": (
        "data: {name: digits, validation_images: 1491}",
        "data: validation_images: found 1,491, expected at most 1,490",
    ),
    "all warmup": (
        "{recipes: {finetune: {warmup_epochs: 8}}, "
        "pruning: {rounds: [{sparsity: 0.9, epochs: 8}]}}",
        "warmup_epochs: found 8, expected less than the 8 epochs of pruning: rounds[0]",
    ),
    "all warmup for the teacher": (
        "recipes: {teacher: {warmup_epochs: 24}}",
        "warmup_epochs: found 24, expected less than the 8 epochs of teacher",
    ),
    "two moving averages": (
        "recipes: {finetune: {lookahead: true, ema_decay: 0.9}}",
        "recipes: finetune: ema_decay: found 0.9, expected 0 with lookahead",
    ),
    "more views than a teacher has": (
        "{recipes: {finetune: {views: 17}}, views: {count: 16}}",
        "recipes: finetune: views: found 17, expected at most 16, views: count, or 0",
    ),
    "batch norm of one image": (
        "recipes: {finetune: {batch_size: 1}}",
        "recipes: finetune: batch_size: found 1, expected at least 2 with batch_norm",
    ),
    **{
        f"a {key} that cannot work in a recipe that a terminal would obey": (
            f'{{recipes: {{"\\e[31m": {{learning_rate: 1, {key}: {value}}}}}, '
            'baselines: {dense: {recipe: "\\e[31m"}}}',
            rf"recipes: \x1b[31m: {key}: found",
        )
        for key, value in {
            "warmup_epochs": "99",
            "weight_decay": "9",
            "batch_size": "1, batch_norm: true",
        }.items()
    },
    "too much decay": (
        "recipes: {strong: {weight_decay: 10, learning_rate: 1}}",
        "weight_decay: found 10, expected less than 1, 1 / learning_rate",
    ),
    "a server that is none": (
        "data: {urls: [ftp://host/a.tar.gz]}",
        "data: urls[0]: found 'ftp://host/a.tar.gz', expected text that matches",
    ),
    "a server with a line feed": (
        'data: {urls: ["http://host/\\n"]}',
        r"data: urls[0]: found 'http://host/\n', expected text that matches",
    ),
    "no server": ("data: {urls: []}", "data: urls: found [], expected at least 1"),
    "a short checksum": (
        "data: {sha256: c4a38c50}",
        "data: sha256: found 'c4a38c50', expected text that matches",
    ),
    "a negative seed": ("seeds: [-1]", "seeds[0]: found -1, expected at least 0"),
    "a huge seed": (
        "seeds: [1000001]",
        "seeds[0]: found 1000001, expected at most 1000000",
    ),
    "half an epoch": (
        "recipes: {strong: {epochs: 0.5}}",
        "recipes: strong: epochs: found 0.5, expected a whole number",
    ),
    "no image per step": (
        "recipes: {strong: {batch_size: 0}}",
        "recipes: strong: batch_size: found 0, expected at least 1",
    ),
    "dropout 1": (
        "recipes: {strong: {dropout: [0.1, 0.2, 1.0]}}",
        "recipes: strong: dropout[2]: found 1.0, expected less than 1",
    ),
    "an optimizer nobody has": (
        "recipes: {strong: {optimizer: adamm}}",
        "recipes: strong: optimizer: found 'adamm', expected one of adam, sgd",
    ),
    "a recipe for an imported network": (
        "baselines: {dense: {weights: x.keras}}",
        "baselines: dense: recipe: found 'strong', expected no recipe beside weights",
    ),
    "a teacher for an imported network": (
        "baselines: {mine: {weights: x.keras, teacher: none}}",
        "baselines: mine: teacher: found 'none', expected no teacher beside weights",
    ),
    "a file name that is a pattern": (
        "baselines: {mine: {weights: '{x}.keras'}}",
        "baselines: mine: weights: found '{x}.keras', expected text that matches",
    ),
    "a rewound imported network": (
        "{baselines: {mine: {weights: x.keras}}, pruning: {baseline: mine}, "
        "run: [lottery_ticket]}",
        "methods: lottery_ticket: start: found 'initial', expected trained with the",
    ),
    "a variable that is not set": (
        "directory: $SHEARS_NONE/runs",
        "directory: found $SHEARS_NONE/runs, but the environment variable SHEARS_NONE "
        "is not set: set it, or give the whole path",
    ),
    "a variable that is not set, in a baseline": (
        "baselines: {mine: {weights: '${SHEARS_NONE}/x.h5'}}",
        "baselines: mine: weights: found ${SHEARS_NONE}/x.h5, but the environment",
    ),
    "a variable that is not set, in a notebook's path": (
        "notebook: a/$SHEARS_NONE",
        "notebook: found a/$SHEARS_NONE, but the environment variable SHEARS_NONE is",
    ),
    "nobody's home": (
        "directory: ~shears_none/runs",
        "directory: found ~shears_none/runs, but the home folder of ~shears_none is",
    ),
    "a wildcard in a directory": (
        "directory: 'a{b}'",
        "directory: found 'a{b}', expected text that matches",
    ),
    "an empty directory": (
        "directory: ''",
        "directory: found '', expected text that matches",
    ),
    "a file name that ends a line": (
        'baselines: {mine: {weights: "x.keras\\n"}}',
        r"baselines: mine: weights: found 'x.keras\n', expected text that matches",
    ),
    "a notebook that a terminal would obey": (
        'notebook: "\\e[31m.ipynb"',
        r"notebook: found '\x1b[31m.ipynb', expected text that matches",
    ),
    "a folder that ends a line": (
        'directory: "runs\\n"',
        r"directory: found 'runs\n', expected text that matches",
    ),
    "a folder that no system has": (
        'directory: "a\\0b"',
        r"directory: found 'a\x00b', expected text that matches",
    ),
    "no recipes": ("recipes: {}", "recipes: found {}, expected at least 1 item"),
}
