"""Lets a notebook run that was written for older versions of Keras and NumPy."""

from shears.notebooks.source import in_own_namespace

#: Runs before a solution, and before a cell that names what it adds to Keras' losses.
#: The notebook is from 2020: Keras 2 lists a model's tf.Variables, Keras 3 does not, so
#: ``model.trainable_variables`` would be empty. Keras itself, which cannot train them,
#: still does not see them. NumPy's old names of types are there, too, and in the cells
#: after it an array of one element is taken for a number, as before NumPy 2.4.
OLD_VERSIONS = in_own_namespace("""\
def change_numpy():
    import ast
    import builtins
    import operator
    import numpy as np
    from IPython import get_ipython

    if hasattr(builtins, "_shears_number"):
        return
    for kind in (int, float):
        if not hasattr(np, kind.__name__):
            setattr(np, kind.__name__, kind)

    def scalar(value):
        if isinstance(value, tuple):
            return tuple(map(scalar, value))
        if not hasattr(value, "__array__"):  # of arrays, tensors and variables
            return value
        array = np.asarray(value)
        return array.item() if array.size == 1 else value

    def number(function, *values):
        try:
            return function(*values)
        except TypeError:
            scalars = scalar(values)
            if all(map(operator.is_, scalars, values)):
                raise
            return function(*scalars)

    def formatted(text, values):
        try:
            return text % values
        except TypeError:
            return text % scalar(values)

    class Numbers(ast.NodeTransformer):
        def visit_Call(self, node):
            self.generic_visit(node)
            function = node.func
            name = getattr(function, "attr", getattr(function, "id", ""))
            module = getattr(getattr(function, "value", None), "id", "")
            if node.keywords or (name not in ("int", "float") and module != "math"):
                return node
            return self.call("_shears_number", node, [function, *node.args])

        def visit_BinOp(self, node):
            self.generic_visit(node)
            text = getattr(node.left, "value", None)
            if not isinstance(node.op, ast.Mod) or not isinstance(text, str):
                return node
            return self.call("_shears_formatted", node, [node.left, node.right])

        def call(self, name, node, args):
            function = ast.Name(name, ast.Load())
            call = ast.Call(func=function, args=args, keywords=[])
            return ast.fix_missing_locations(ast.copy_location(call, node))

    builtins._shears_number, builtins._shears_formatted = number, formatted
    get_ipython().ast_transformers.append(Numbers())

def change_keras():
    import importlib
    import sys
    import tensorflow as tf

    Model = tf.keras.Model
    if hasattr(Model, "_shears_old"):
        return
    Model._shears_old = True

    def plain(model):
        values = [v for v in vars(model).values() if isinstance(v, tf.Variable)]
        return list({id(v): v for v in values}.values())

    def list_plain(name):
        theirs = getattr(Model, name)

        def found(self):
            known = theirs.fget(self)
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if known or caller.partition(".")[0] in ("keras", "tensorflow", "tf_keras"):
                return known
            every = not name.startswith("trainable")
            return [v for v in plain(self) if v.trainable or every]

        setattr(Model, name, property(found))

    for name in ("variables", "trainable_variables", "weights", "trainable_weights"):
        list_plain(name)
    get_weights, set_weights = Model.get_weights, Model.set_weights

    def set_plain(self, weights):
        if get_weights(self):
            return set_weights(self, weights)
        for variable, value in zip(plain(self), weights):
            variable.assign(value)

    Model.get_weights = lambda self: (
        get_weights(self) or [variable.numpy() for variable in plain(self)]
    )
    Model.set_weights = set_plain
    for name in ("losses", "metrics"):
        imported = importlib.import_module(f"tensorflow.keras.{name}")
        for module in (imported, getattr(tf.keras, name), getattr(tf, name)):
            if not hasattr(module, "mean_squared_error"):
                module.mean_squared_error = module.MSE

for change in (change_numpy, change_keras):
    try:
        change()
    except Exception:  # the solution says what is wrong, if anything is
        pass
""")
