"""The site that `make docs` builds: the documents, and the library from its docstrings.

The root of the repository is the source folder, so the documents' relative links hold
as they are. A name in single backticks in a docstring must be a name of the library or
a parameter of the function; a link must lead to a page, its heading or a file.
"""

import importlib
import inspect
import os
import re
import shutil
import sys
import typing
from pathlib import Path

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx import addnodes

ROOT = Path(__file__).resolve().parents[1]
API = ROOT / "docs/api"
sys.path.insert(0, str(ROOT))

from shears.runtime.settings import Settings  # noqa: E402
from shears.version import VERSION  # noqa: E402

project = "Shears"
version = release = VERSION
copyright = ""
root_doc = "README"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "config/README.md",
    "docs/*.md",
    "docs/api/*.rst",
]
# Sphinx need not look into the other folders.
exclude_patterns = [
    path.name
    for path in ROOT.iterdir()
    if path.is_dir() and path.name not in ("config", "docs")
] + ["docs/_build"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
smartquotes = False
highlight_language = "none"

html_theme = "furo"
html_title = f"Shears {VERSION}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

default_role = "any"
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "special-members": "__init__, __call__",
}
add_module_names = False
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
python_display_short_literal_types = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = False  # the signatures of the classes have them
# Types of other packages, whose documentation this site does not have.
nitpick_ignore_regex = [
    (
        "py:.*|any",
        r"(argparse|ast|collections|datetime|io|pathlib|posix|tarfile|types|typing)\..+"
        r"|shears\.pruning\.mask_plan\.(Form|Other)"  # type variables
        r"|(altair|h5py|keras|matplotlib|nbformat|numpy|pydantic\w*|requests|tensorflow|tf)\..+",
    ),
]

CONTENTS = """
```{toctree}
:hidden:
:caption: Documents

docs/results
docs/optimizers
docs/latency
docs/scorer
docs/classroom
docs/autograder
docs/reliability
docs/bring_your_own
docs/scaling
docs/trials
docs/security
config/README
CONTRIBUTING
CHANGELOG
SECURITY
```

```{toctree}
:hidden:
:caption: Library

docs/api/index
```
"""
LINK = re.compile(r"\[([^][]+)\]\(([^()#:\s]+)\)")
NAME = re.compile(r"(?<!`)`(\w+)`(?!`)")
FORMULA = re.compile(r"^(\S.*(?<!:))\n\n(?=    )", re.MULTILINE)
LONGEST_VALUE = 80
LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
limits: dict[str, str] = {}  # of the settings' keys, by full name


def module_name(path: Path) -> str:
    """Converts the path of a module to its dotted name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def page_of(module: str) -> Path:
    """Returns the page of a module; the module's own name would be ambiguous."""
    name = "index" if module == "shears" else module.replace(".", "-")
    return API / f"{name}.rst"


def write_api_pages(app) -> None:
    """Imports the modules of the library and writes a page for each."""
    shutil.rmtree(API, ignore_errors=True)
    API.mkdir()
    names = sorted(module_name(path) for path in (ROOT / "shears").rglob("*.py"))
    for name in names:
        importlib.import_module(name)
        page = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n"
        children = [other for other in names if other.rpartition(".")[0] == name]
        if children:
            page += "\n.. toctree::\n   :titlesonly:\n\n"
            for child in children:
                page += f"   {child.rpartition('.')[2]} <{page_of(child).stem}>\n"
        page_of(name).write_text(page, encoding="utf-8")


def prepare_markdown(app, docname: str, source: list[str]) -> None:
    """Leads links to modules to their pages; adds the table of contents to the README.

    A link to a folder becomes text. Sphinx checks all others.
    """
    page = Path(app.env.doc2path(docname))
    if page.suffix != ".md":
        return

    def link(match: re.Match) -> str:
        text, target = match.groups()
        path = Path(os.path.normpath(page.parent / target))
        if path.is_dir():
            return text
        if path.match("*.py") and path.is_relative_to(ROOT / "shears"):
            page_path = page_of(module_name(path))
            if page_path.exists():  # Sphinx reports a link to nothing as it is
                return f"[{text}](/{page_path.relative_to(ROOT)})"
        return match[0]

    source[0] = LINK.sub(link, source[0])
    if docname == root_doc:
        source[0] += CONTENTS


def subclasses(kind: type) -> typing.Iterator[type]:
    """Yields the classes below a class."""
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def show_settings(app) -> None:
    """Gives the settings' attributes plain types and defaults, as autodoc expects them.

    pydantic keeps them elsewhere. This changes the classes in this process only.
    """
    for kind in subclasses(Settings):
        if kind.__module__.split(".")[0] != "shears":
            continue
        hints = typing.get_type_hints(kind)  # without the limits
        for name in kind.__annotations__.keys() & kind.model_fields.keys():
            field = kind.model_fields[name]
            kind.__annotations__[name] = hints[name]
            if not field.is_required():
                setattr(kind, name, field.default)
            words = [
                f"{text} {getattr(item, rule):,}"
                for item in field.metadata
                for rule, text in LIMITS.items()
                if hasattr(item, rule)
            ]
            sentences = [", ".join(words)] if words else []
            sentences += ["must be given"] if field.is_required() else []
            full_name = f"{kind.__module__}.{kind.__qualname__}.{name}"
            limits[full_name] = "".join(f" {s[0].upper()}{s[1:]}." for s in sentences)


def process_docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """Marks parameters and indented formulas as code; adds limits to settings' keys."""
    lines[:] = FORMULA.sub(r"\1\n\n::\n\n", "\n".join(lines)).split("\n")
    if what in ("function", "method"):
        parameters = inspect.signature(obj).parameters
        lines[:] = [
            NAME.sub(lambda m: f"`{m[0]}`" if m[1] in parameters else m[0], line)
            for line in lines
        ]
    if what in ("attribute", "data", "property"):
        # napoleon would take what precedes a colon in the first line for a type, so
        # that line is an empty comment.
        lines[:0] = ["..", ""]
    if name in limits:
        last = max(i for i, line in enumerate(lines) if line.strip())
        lines[last] += limits[name]
    if isinstance(obj, type) and issubclass(obj, Settings):
        bases = [base for base in obj.__bases__ if base in subclasses(Settings)]
        lines += [f"It also has the keys of `{base.__name__}`." for base in bases]


def process_signature(app, what, name, obj, options, signature, annotation):
    """Leaves out the signature of settings, which repeats their keys."""
    if isinstance(obj, type) and issubclass(obj, Settings):
        return "", None
    return None


def skip_member(app, what, name, obj, skip, options) -> bool | None:
    """Skips what is documented with the class, and what pydantic adds."""
    is_field = type(obj).__name__ == "_tuplegetter"
    is_generated = name == "__init__" and not obj.__doc__
    return True if is_field or is_generated or name == "model_config" else None


def tidy(app, doctree: nodes.document) -> None:
    """Leaves out values that are long or objects; prefers a module's own names."""
    known = app.env.get_domain("py").objects
    for node in doctree.findall(addnodes.pending_xref):
        own = f"{node.get('py:module')}.{node['reftarget']}"
        if own in known:  # an alias; Sphinx would take another module's class
            node["reftarget"] = own
    for signature in doctree.findall(addnodes.desc_signature):
        for part in list(signature.findall(addnodes.desc_annotation)):
            text = part.astext().strip()
            if text[:1] == "=" and (len(text) > LONGEST_VALUE or "<" in text):
                part.parent.remove(part)
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":  # after the name of a parameter
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def write_index(app, error: Exception | None) -> None:
    """Makes the README's page the first of the site."""
    if error is None:
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")


def setup(app) -> None:
    """Connects the functions above."""
    app.add_lexer("mermaid", TextLexer)
    app.connect("builder-inited", write_api_pages)
    app.connect("builder-inited", show_settings)
    app.connect("source-read", prepare_markdown)
    app.connect("autodoc-process-docstring", process_docstring, priority=400)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("doctree-read", tidy)
    app.connect("build-finished", write_index)
