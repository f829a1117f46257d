from tools.configuration import read_configuration
from tools.write_results import PAGE, PARTS, replace_part


def test_every_part_has_its_place_on_the_page_and_its_configuration():
    page = PAGE.read_text(encoding="utf-8")
    for part, (name, _) in PARTS.items():
        changed = replace_part(page, part, "new\n")
        assert f"<!-- {part} -->\nnew\n<!-- end -->" in changed
        assert read_configuration(name).directory == (name or ".")
