"""The service's configuration: read, refused with line and key, and written down."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.cli.main import main
from fakedirty.errors import UsageError
from fakedirty.service.config import Configuration, parse, read
from fakedirty.service.dictionary import dictionary, example

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_document_is_that_of_the_table() -> None:
    assert DOCUMENT.read_text() == dictionary()


def test_the_example_is_the_default() -> None:
    assert parse(example()) == parse("") == Configuration()


def test_values_are_taken() -> None:
    text = (
        '[observe]\nlevel = "stock"\n[record]\ndirectory = "/var/lib/fakedirty"\nkeep_days = 30\n[metrics]\nlisten = ""'
    )
    made = parse(text)
    assert (made.observe.level, made.record.directory, made.record.keep_days, made.metrics.listen) == (
        *("stock", "/var/lib/fakedirty", 30),
        "",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[observe]\n\nlevle = 'stock'", "3: observe.levle: no such option; did you mean level?"),
        ("[observed]\nlevel = 'stock'", "1: observed: no such table; did you mean observe?"),
        ("level = 'stock'", "1: level: no such table; there are observe, record, metrics"),
        ("[observe]\nlevel = 'high'", "2: observe.level: must be one of best, qmp, stock, usdt, patched, not 'high'"),
        ("[observe]\nlevel = 3", "2: observe.level: must be text, not 3"),
        ("[observe]\nsample = true", "2: observe.sample: must be a whole number, not True"),
        ("[observe]\nsample = 0", "2: observe.sample: must be at least 1, not 0"),
        ("[observe]\npage_ring = 3", "2: observe.page_ring: --page-ring is a power of two"),
        ("[observe]\npages = 1", "2: observe.pages: must be true or false, not 1"),
        ("[observe]\npages = true", "2: observe.pages: needs a place to record to"),
        ("[record]\ndirectory = 'runs'", "2: record.directory: must be an absolute path, not 'runs'"),
        ("[record]\nkeep_days = -1", "2: record.keep_days: must be at least 0, not -1"),
        ("[metrics]\nlisten = 'here'", "2: metrics.listen: --listen here: expected HOST:PORT"),
        ("[metrics]\nlisten = ", "2: "),
        ("metrics.listen = 7", "1: metrics.listen: must be text, not 7"),
        ("[grafana]\nurl = 'grafana'", "2: grafana.url: grafana: expected the URL of a Grafana"),
        ("[grafana]\nurl = 'http://a:b@host'", "2: grafana.url: the URL of Grafana has a user in it"),
        ("[grafana]\nurl = 'http://host'", "2: grafana.url: needs grafana.token_file, too"),
        ("[grafana]\ntoken_file = '/token'", "2: grafana.token_file: needs grafana.url, too"),
        ("[grafana]\ntoken_file = 'token'", "2: grafana.token_file: must be an absolute path"),
        ("record = 7", "1: record: no such table"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_key(text: str, said: str) -> None:
    with pytest.raises(UsageError) as told:
        parse(text)
    assert str(told.value).startswith(said)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fakedirty.toml"
    file.write_text("[record]\nkeep_days = 'long'\n[observe]\nlevle = 'stock'\n")
    assert main(["config", "check", str(file)]) == 2
    said = capsys.readouterr().err
    assert f"{file}:2: record.keep_days: must be a number" in said
    assert f"{file}:4: observe.levle" in said
    file.write_text(example())
    assert main(["config", "check", str(file)]) == 0
    with pytest.raises(UsageError, match="cannot read"):
        read(tmp_path / "none")


def test_the_service_needs_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["observe", "--config", str(tmp_path / "none")]) == 2
    assert "add --all" in capsys.readouterr().err
