import numpy as np

from shears.model.architecture import LAYERS, PARAMETERS, SHAPES


def test_shapes_add_up():
    assert sum(int(np.prod(shape)) for shape in SHAPES) == PARAMETERS == 1_250_858


def test_no_two_layers_have_kernels_of_the_same_shape():
    # The reader finds "layers in another order" by shapes alone.
    assert len({layer.kernel for layer in LAYERS}) == len(LAYERS)
