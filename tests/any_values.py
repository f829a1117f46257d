"""Any value at any place of a nested structure, for Hypothesis."""

import copy

from hypothesis import strategies as st

_JSON = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)
)
_YAML = _JSON | st.dates() | st.datetimes()


def _nested(scalars: st.SearchStrategy, keys: st.SearchStrategy) -> st.SearchStrategy:
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=5,
    )


values = _nested(_JSON, st.text(max_size=8))
yaml_values = _nested(_YAML, _YAML)  # keys of any type, too


def paths(node: object, path: tuple = ()) -> list[tuple]:
    """Every place in mappings and lists."""
    items = node.items() if isinstance(node, dict) else ()
    items = enumerate(node) if isinstance(node, list) else items
    found = [path] if path else []
    return found + [p for key, item in items for p in paths(item, (*path, key))]


def replaced(root: object, place: tuple, value: object) -> object:
    """Copies a structure, with another value at a place."""
    root = node = copy.deepcopy(root)
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return root
