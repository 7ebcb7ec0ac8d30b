"""The documents say what the code does: every column and every metric, with its unit and meaning."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.campaign import dictionary as columns
from fakedirty.campaign.columns import CAMPAIGN_TABLES
from fakedirty.export import dictionary as metrics
from fakedirty.model.round import Round
from fakedirty.record.columns import IDENTITY, MIGRATIONS, ROUNDS, TABLES
from fakedirty.record.downtime_rows import downtime_rows
from fakedirty.record.manifest import Clock
from fakedirty.record.rows import round_row, toggle_row
from fakedirty.record.summary import summary
from made_migrations import START, made, tell
from made_switchover import DESTINATION, END, SOURCE

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("name", "text"), [("data-dictionary.md", columns.dictionary()), ("metrics.md", metrics.dictionary())]
)
def test_documents_are_what_the_code_makes(name: str, text: str) -> None:
    assert (DOCS / name).read_text() == text, "make it again: make documents"


def test_a_round_has_every_column_and_no_other() -> None:
    names = [column.name for column in ROUNDS]
    of_the_table = {*(column.name for column in IDENTITY), "level", "valid"}
    assert [name for name in names if name not in of_the_table] == list(Round.__dataclass_fields__)


def test_rows_have_the_columns_of_their_tables() -> None:
    migration = tell(made(), [])
    assert set(round_row("run", migration, migration.rounds[0])) == {c.name for c in TABLES["rounds.csv"]}
    assert set(toggle_row("run", migration, migration.toggles[0])) == {c.name for c in TABLES["toggles.csv"]}
    gone = tell(made(), [], (*SOURCE, *DESTINATION, *END))
    for row in downtime_rows("run", gone):
        assert set(row) == {c.name for c in TABLES["downtime.csv"]}
    assert {c.name for c in MIGRATIONS} <= set(summary("run", migration, Clock(0, START)))


def test_every_column_says_what_it_means_in_one_word_per_thing() -> None:
    for table in (TABLES | CAMPAIGN_TABLES).values():
        names = [column.name for column in table]
        assert len(names) == len(set(names))
        for column in table:
            assert column.meaning
            unit = {"pages": "pages", "bytes": "bytes", "seconds": "s", "ms": "ms", "ns": "ns"}
            expected = unit.get(column.name.rpartition("_")[2])
            assert expected is None or column.unit == expected, column
