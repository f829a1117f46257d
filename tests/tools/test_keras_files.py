from tests import ROOT
from tests.unit.weight_files.genuine_files import FOLDER
from tools.keras_files import table


def test_the_documented_table_is_the_measured_one(capsys):
    table(str(FOLDER))
    page = ROOT / "docs/scorer.md"
    assert f"<!-- loads -->\n{capsys.readouterr().out}<!-- end -->" in page.read_text(
        encoding="utf-8"
    )
