"""The configuration of the service: read, refused with line and key, and documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.cli.main import main
from fakedirty.errors import UsageError
from fakedirty.service.config import Configuration, parse, read, restart_options
from fakedirty.service.config_reference import example, reference
from fakedirty.web.web_config import REPLACED

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_document_is_made_from_the_models() -> None:
    assert DOCUMENT.read_text() == reference()


def test_the_example_has_every_option_at_its_default() -> None:
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


def test_values_are_replaced_where_others_are_given() -> None:
    file = parse("observe.sample = 16\nobserve.level = 'stock'\nmetrics.listen = ''")
    changed = file.with_values({("observe", "sample"): 1, ("observe", "pages"): True, ("metrics", "listen"): ":1"})
    assert (changed.observe.sample, changed.observe.pages, changed.observe.level) == (1, True, "stock")
    assert changed.metrics.listen == ":1"
    assert (file.observe.sample, file.metrics.listen) == (16, "")
    assert changed.record == file.record


def test_options_that_need_a_restart() -> None:
    before = parse("record.keep_days = 1\nobserve.level = 'stock'")
    after = parse("record.keep_days = 2\nrecord.directory = '/x'\n[metrics]\ninsecure = true")
    assert restart_options(before, after) == ["observe.level", "record.directory", "metrics.insecure"]
    assert restart_options(before, before) == []


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("[observe]\n\nlevle = 'stock'", "3: observe.levle: no such key: 'levle'; did you mean level?"),
        ("[observed]\nlevel = 'stock'", "1: observed: no such key: 'observed'; did you mean observe?"),
        ("level = 'stock'", "1: level: no such key: 'level'; known: observe, record, metrics"),
        ("[observe]\nlevel = 'stok'", "2: observe.level: no such level: 'stok'; did you mean stock?"),
        (
            "[observe]\nlevel = 'high'",
            "2: observe.level: no such level: 'high'; known: best, qmp, stock, usdt, patched",
        ),
        ("[observe]\nlevel = 3", "2: observe.level: input should be a valid string, not 3"),
        ("[observe]\nsample = true", "2: observe.sample: input should be a valid integer, not True"),
        ("[observe]\nsample = 0", "2: observe.sample: input should be greater than or equal to 1, not 0"),
        ("[observe]\npage_ring = 3", "2: observe.page_ring: --page-ring is a power of two"),
        ("[observe]\npages = 1", "2: observe.pages: input should be a valid boolean, not 1"),
        ("[observe]\npages = true", "2: observe.pages: needs a directory to record to: set record.directory"),
        ("[record]\ndirectory = 'runs'", "2: record.directory: must be an absolute path, not 'runs'"),
        ("[record]\nkeep_days = -1", "2: record.keep_days: input should be greater than or equal to 0, not -1"),
        ("[record]\nkeep_days = true", "2: record.keep_days: input should be a valid number, not True"),
        ("[metrics]\nlisten = 'here'", "2: metrics.listen: --listen here: expected HOST:PORT"),
        ("[metrics]\nlisten = '0.0.0.0:9752'", "2: metrics.listen: 0.0.0.0:9752 is not a loopback address"),
        ("[metrics]\nlisten = ", "2: "),
        ("metrics.listen = 7", "1: metrics.listen: input should be a valid string, not 7"),
        ("[metrics]\nweb_config = 'web.yml'", "2: metrics.web_config: must be an absolute path, not 'web.yml'"),
        ("[grafana]\nurl = 'grafana'", "2: grafana.url: grafana: expected the URL of a Grafana"),
        ("[grafana]\nurl = 'http://a:b@host'", "2: grafana.url: the URL of Grafana has a user in it"),
        ("[grafana]\nurl = 'http://host'", "2: grafana.url: needs grafana.token_file, too"),
        ("[grafana]\ntoken_file = '/token'", "2: grafana.token_file: needs grafana.url, too"),
        ("[grafana]\ntoken_file = 'token'", "2: grafana.token_file: must be an absolute path"),
        ("record = 7", "1: record: must be a table, not 7"),
    ],
)
def test_an_error_is_reported_with_line_and_key(text: str, reported: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text)
    assert str(error.value).startswith(reported)


@pytest.mark.parametrize("key", ["tls_certificate", "tls_key", "tls_client_ca", "users"])
def test_an_old_key_of_metrics_is_refused_with_the_new_place(key: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(f"[metrics]\nlisten = ':1'\n{key} = '/etc/file'")
    [line] = str(error.value).splitlines()
    assert line.startswith(f"3: metrics.{key}: is now {REPLACED[key]}")
    assert "web_config of [metrics]" in line


def test_every_error_is_reported_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fakedirty.toml"
    file.write_text("[record]\nkeep_days = 'long'\n[observe]\nlevle = 'stock'\n")
    assert main(["config", "check", str(file)]) == 2
    reported = capsys.readouterr().err
    assert f"{file}:2: record.keep_days: input should be a valid number" in reported
    assert f"{file}:4: observe.levle" in reported
    file.write_text(example())
    assert main(["config", "check", str(file)]) == 0
    with pytest.raises(UsageError, match="cannot read"):
        read(tmp_path / "none")


def test_a_configuration_file_is_for_the_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["observe", "--config", str(tmp_path / "none")]) == 2
    assert "add --all" in capsys.readouterr().err
