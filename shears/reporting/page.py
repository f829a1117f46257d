"""What the HTML pages share: styles, embedded libraries, and how they are rendered."""

import base64
import importlib.resources
from importlib.resources.abc import Traversable
from typing import Any

import jinja2
import vl_convert


def _own_files() -> Traversable:
    return importlib.resources.files(__package__)


def _read_template(name: str) -> str | None:
    """Reads a template that others import; None if there is none by that name."""
    file = _own_files() / name
    return file.read_text(encoding="utf-8") if file.is_file() else None


def read_libraries() -> dict[str, str]:
    """Reads the styles and scripts that a page embeds.

    Returns:
        ``style`` and ``script``, the pages' own; ``tables`` (a module, in Base64) and
        ``tables_style``, DataTables; ``vega``, Vega-Lite, as a script's text.
    """
    own = _own_files()
    tables = importlib.resources.files("itables") / "html"
    # Its types do not say that the argument is optional.
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return {
        "style": (own / "page.css").read_text(encoding="utf-8"),
        "script": (own / "page.js").read_text(encoding="utf-8"),
        # Nothing else can end a script element early.
        "vega": bundle.replace("</script", "<\\/script"),
        "tables": base64.b64encode((tables / "dt_bundle.js").read_bytes()).decode(),
        "tables_style": (tables / "dt_bundle.css").read_text(encoding="utf-8"),
    }


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_read_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_part(name: str, /, **values: Any) -> str:
    """Renders a template of this package as part of a page.

    Args:
        name: The template's file.
        **values: What it shows. Texts are escaped.
    """
    return _environment().get_template(name).render(**values)


def render_page(template: str, **values: Any) -> bytes:
    """Renders a Jinja2 template as a page that needs no other file, in UTF-8.

    Args:
        template: The template's text. ``libraries`` is what `read_libraries` returns;
            ``parts.html.j2`` has macros that it may import.
        **values: What it shows. Texts are escaped.
    """
    page = _environment().from_string(template)
    return page.render(libraries=read_libraries(), **values).encode()
