import pytest
from jinja2 import UndefinedError

from shears.reporting.page import read_libraries, render_page


def test_a_page_has_the_libraries_and_escapes_texts():
    page = render_page("{{ libraries.style | safe }}{{ x }}", x="<b>é").decode()
    assert page == read_libraries()["style"] + "&lt;b&gt;é"


def test_no_library_can_end_its_element():
    libraries = read_libraries()
    assert "</script" not in libraries["vega"] + libraries["tables"]
    assert "</style" not in libraries["style"] + libraries["tables_style"]
    assert "--page:" in libraries["style"]


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError):
        render_page("{{ missing }}")
