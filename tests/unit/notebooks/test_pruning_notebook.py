"""The structure of Part B's notebook; the workflow's shared run executes it."""

import ast
import re
import sys

import numpy as np
import pytest

from shears.model.architecture import PARAMETERS
from shears.notebooks.files import read_notebook
from shears.pruning.masks import make_mask, zeros_for
from shears.weight_files.reader import read_contents
from tests import ROOT
from tests.conftest import make_parameters

NOTEBOOK = read_notebook(ROOT / "notebooks/pruning_notebook.ipynb")
CODE = [cell.source for cell in NOTEBOOK.cells if cell.cell_type == "code"]
TEXT = [cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown"]


def imported(tree: ast.AST) -> set[str]:
    """The packages that code imports from."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names


def test_it_is_committed_without_outputs():
    for cell in NOTEBOOK.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_a_text_introduces_each_cell_of_code_but_a_plot():
    kinds = [cell.cell_type for cell in NOTEBOOK.cells]
    assert kinds[0] == "markdown"
    for before, cell in zip(NOTEBOOK.cells, NOTEBOOK.cells[1:], strict=False):
        if cell.cell_type == "code" and before.cell_type == "code":
            assert cell.source.startswith("plt.")
    assert all(len(text.splitlines()) < 25 for text in TEXT)


def test_it_needs_four_packages_and_only_tries_to_import_others():
    tree = ast.parse("\n".join(CODE))  # a syntax error if there is a magic
    tried = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            (handler,) = node.handlers
            assert handler.type.id == "ImportError"
            tried |= imported(node)
    assert tried == {"google", "shears"}
    needed = {"h5py", "matplotlib", "numpy", "tensorflow"}
    assert imported(tree) - tried - sys.stdlib_module_names == needed


def test_it_uses_no_pruning_library_and_no_test_images():
    text = "\n".join(CODE)
    assert not re.search("tensorflow_model_optimization|tfmot|sparsity.keras", text)
    assert "test/" not in text and '"test"' not in text
    assert "(images, labels), _ = tf.keras.datasets.cifar10.load_data()" in text


def masks_of(arrays):
    """The notebook's own functions that make masks."""
    names = {"np": np, "PARAMETERS": PARAMETERS, "dense": arrays}
    names["count_zeros"] = lambda arrays: sum(int((a == 0).sum()) for a in arrays)
    for start in ("def magnitudes", "def lamp_scores"):
        (source,) = [source for source in CODE if source.startswith(start)]
        exec(source, names)
    return names


@pytest.mark.parametrize("rank_by", ["magnitudes", "lamp_scores"])
def test_its_masks_have_exact_zeros_and_pruned_weights_stay_pruned(rank_by):
    dense = make_parameters(0).arrays
    names = masks_of(dense)
    before = names["make_masks"](dense, 0.8, names[rank_by])
    assert names["count_zeros"](before) == zeros_for(0.8)
    sparse = [array * mask for array, mask in zip(dense, before, strict=True)]
    after = names["make_masks"](sparse, 0.9, names[rank_by])
    assert names["count_zeros"](after) == zeros_for(0.9)
    for first, second in zip(before, after, strict=True):
        assert not second[first == 0].any()


@pytest.mark.parametrize(
    ("rank_by", "allocation"), [("magnitudes", "global"), ("lamp_scores", "lamp")]
)
def test_its_masks_are_the_librarys(rank_by, allocation):
    parameters = make_parameters(0)
    names = masks_of(parameters.arrays)
    masks = names["make_masks"](parameters.arrays, 0.9, names[rank_by])
    expected = make_mask(parameters, zeros_for(0.9), allocation)
    for mask, other in zip(masks, expected.arrays, strict=True):
        np.testing.assert_array_equal(mask, other)


def test_what_it_saves_is_read_by_the_scorer(tmp_path):
    (cell,) = [source for source in CODE if source.startswith("def save_weights")]

    class Layer:
        def __init__(self, name, arrays):
            self.name, self.weights = name, arrays

        def get_weights(self):
            return self.weights

    class Model:
        layers = [Layer("dropout", [])]

    parameters = make_parameters(1, zeros=0.9)
    names = {"np": np, "model": Model}
    exec("import h5py\n" + cell.split("\n\n\n")[0], names)
    layers = ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "dense", "dense_1")
    arrays = zip(parameters.kernels, parameters.biases, strict=True)
    for name, pair in zip(layers, arrays, strict=True):
        Model.layers.append(Layer(name, list(pair)))
    names["save_weights"](tmp_path / "a.h5")
    with (tmp_path / "a.h5").open("rb") as file:
        contents = read_contents(file)
    assert contents.layout == "Keras 2 weights"
    assert contents.ignored == []
    np.testing.assert_array_equal(contents.parameters.vector, parameters.vector)


def test_its_cell_of_the_library_runs_where_there_is_one(capsys):
    (source,) = [source for source in CODE if "from shears" in source]
    exec(source, {"dense": make_parameters(0).arrays})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == [
        "kept",
        "global",
        "lamp",
        "erk",
        "uniform",
    ]


def test_the_functions_that_it_points_to_exist():
    text = "\n".join(TEXT)
    for function, module in re.findall(r"`(\w+)` in `(shears/\S+\.py)`", text):
        assert f"def {function}(" in (ROOT / module).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(\.\./(\S+)\)", text):
        assert (ROOT / link).exists()
