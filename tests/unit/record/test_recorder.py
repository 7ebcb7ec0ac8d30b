"""Recorder and `fakedirty.load`: the data recorded are the data read, however the recording ended."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import fakedirty
import pandas as pd
import pytest
from fakedirty.errors import RecordError
from fakedirty.linux.wall_clock import ClockError
from fakedirty.model.events import FinalReport, MigrationStarted, RemainingRead, RoundEnded, StateChanged
from fakedirty.model.round import Round
from fakedirty.record import load as loading
from fakedirty.record.columns import MIGRATIONS, ROUNDS, TOGGLES, Column
from fakedirty.record.directory_names import LONGEST, safe_name
from fakedirty.record.manifest import Clock
from fakedirty.record.recorder import Recorder
from fakedirty.record.restore import restore, round_of
from fakedirty.record.summary import summary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_migrations import EVENTS, LOSS, REPORT, START, again, bulk, made, tell, unseen
from played_guests import Guest, played

FIRST_COLUMNS = """
run_id migration_id vm round kind level mode hash start_seconds duration_seconds dirty_pages forced_pages
visited_pages first_pages changed_pages fake_pages zero_pages normal_pages xbzrle_pages unchanged_pages
skipped_pages left_pages hinted_pages transferred_bytes saved_bytes hash_seconds forced_syncs lost_events valid
invalid_reason
"""

CLOCK = Clock(wall_ns=1_700_000_000 * 10**9, monotonic_ns=START)


def recorder(out: Path, run_id: str = "run-1") -> Recorder:
    return Recorder(out, run_id, {"qemu": {"version": "10.0.13"}}, clock=lambda: CLOCK)


def test_the_first_columns_are_as_designed() -> None:
    assert [column.name for column in ROUNDS][:30] == FIRST_COLUMNS.split()


def test_a_migration_is_a_directory_that_reads_back(tmp_path: Path) -> None:
    to = recorder(tmp_path)
    migration = tell(made(), [to])
    (directory,) = to.directories
    assert directory == tmp_path / "vm" / "20231114T221320Z-m1"
    assert {path.name for path in directory.iterdir()} == {
        *("manifest.json", "migration.json", "rounds.csv", "toggles.csv", "downtime.csv"),
    }
    assert not list(tmp_path.rglob("*.partial"))

    recording = fakedirty.load(tmp_path)
    assert recording.directories == (directory,)
    assert list(recording.rounds.columns) == [column.name for column in ROUNDS]
    for row, counts in zip(recording.rounds.to_dict("records"), migration.rounds, strict=True):
        for name in Round.__dataclass_fields__:
            value = getattr(counts, name)
            assert row[name] == (str(value) if name in {"kind", "mode"} else value), name
        assert (row["vm"], row["run_id"], row["level"], row["valid"]) == ("vm", "run-1", "patched", True)
    (row,) = recording.migrations.to_dict("records")
    assert row["outcome"] == "completed"
    assert row["duration_seconds"] == 7
    assert (row["total_time_ms"], row["downtime_ms"], row["transferred_bytes"]) == (6_900, 42, 601_500_000)
    assert row["valid"]
    assert row["conservation"]
    assert list(recording.toggles["to_mode"]) == ["observe", "skip"]
    assert list(recording.toggles["seconds"]) == [0, 5]
    assert list(recording.toggles["read_back"]) == ["observe", "skip"]
    assert recording.pages.empty


def test_types_are_those_of_the_table(tmp_path: Path) -> None:
    to = recorder(tmp_path)
    tell(made(level=made().level), [to], [MigrationStarted(START), RoundEnded(START, unseen())])
    recording = fakedirty.load(tmp_path)
    for columns, frame in (
        (ROUNDS, recording.rounds),
        (MIGRATIONS, recording.migrations),
        (TOGGLES, recording.toggles),
    ):
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {c.name: c.dtype for c in columns}


def test_what_is_unseen_stays_unseen(tmp_path: Path) -> None:
    to = recorder(tmp_path)
    tell(made(), [to], [RoundEnded(START, unseen()), RoundEnded(START, bulk())])
    rounds = fakedirty.load(tmp_path).rounds
    for column in ("mode", "hash", "dirty_pages", "fake_pages", "saved_bytes", "hash_seconds"):
        assert rounds[column][0] is pd.NA, column
    assert rounds["fake_pages"][1] == 0
    assert rounds["invalid_reason"][0] == ""
    text = (to.directories[0] / "rounds.csv").read_text().splitlines()[1]
    assert text == "run-1,m1,vm,1,bulk,patched,,,0.0,1.0,,,,,,,,,,,,,,4096,,,,0,true,,,,,"
    (row,) = fakedirty.load(tmp_path).migrations.to_dict("records")
    assert pd.isna(row["total_time_ms"])
    assert row["outcome"] == "unfinished"


def test_where_nothing_can_be_judged_conservation_is_unknown(tmp_path: Path) -> None:
    tell(made(), [recorder(tmp_path)], [RoundEnded(START, unseen())])
    assert fakedirty.load(tmp_path).migrations["conservation"][0] is pd.NA


def test_invalid_rounds_and_losses_are_recorded(tmp_path: Path) -> None:
    to = recorder(tmp_path)
    tell(made(), [to], [MigrationStarted(START, True), *LOSS, RoundEnded(START, bulk()), FinalReport(START, REPORT)])
    recording = fakedirty.load(tmp_path)
    assert list(recording.rounds["valid"]) == [False]
    assert recording.rounds["invalid_reason"][0] == "7 events lost"
    (row,) = recording.migrations.to_dict("records")
    assert (row["invalid_rounds"], row["lost_events"], row["partial"], row["valid"]) == (1, 7, True, False)
    assert row["conservation"]
    content = json.loads((to.directories[0] / "migration.json").read_text())
    assert content["lost_where"] == {"ring buffer full": 7}
    assert content["invalid_reasons"] == {"1": "7 events lost"}
    assert content["query_migrate"] == REPORT


NEW_WORDS = {"remaining": 4096, "postcopy-latency": 380_000, "postcopy-non-vcpu-latency": 1_250_000}


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (NEW_WORDS, (4096, 380_000, 1_250_000)),
        ({"remaining": 0, "postcopy-latency": 0}, (0, None, None)),
        ({}, (None, None, None)),
    ],
    ids=["a newer release", "nothing left", "an older release"],
)
def test_words_of_newer_releases_are_columns_at_the_end(
    reported: dict[str, object], expected: tuple[int | None, ...], tmp_path: Path
) -> None:
    names = [column.name for column in MIGRATIONS[-4:-1]]
    assert names == ["remaining_bytes", "postcopy_latency_ns", "postcopy_non_vcpu_latency_ns"]
    report = {**REPORT, **reported, "postcopy-latency-dist": [0, 3]}
    tell(made(), [recorder(tmp_path)], [MigrationStarted(START), FinalReport(START, report)])
    [row] = fakedirty.load(tmp_path).migrations.to_dict("records")
    assert tuple(None if pd.isna(row[name]) else row[name] for name in names) == expected
    [directory] = fakedirty.load(tmp_path).directories
    assert json.loads((directory / "migration.json").read_text())["query_migrate"]["postcopy-latency-dist"] == [0, 3]


def test_what_was_left_when_it_failed_is_recorded(tmp_path: Path) -> None:
    """The last report of a migration that failed has nothing of it any more."""
    events = [MigrationStarted(START), RemainingRead(START + 1, 9_000), RemainingRead(START + 2, 7_000)]
    failed = [StateChanged(START + 3, "failing"), StateChanged(START + 4, "failed"), FinalReport(START + 5, {})]
    tell(made(), [recorder(tmp_path)], [*events, *failed])
    [row] = fakedirty.load(tmp_path).migrations.to_dict("records")
    assert (row["outcome"], row["remaining_bytes"]) == ("failed", 7_000)
    [directory] = fakedirty.load(tmp_path).directories
    assert restore(directory).remaining_bytes == 7_000


@pytest.mark.parametrize("error", [None, ClockError(True, 1_500, 20)], ids=["not known", "known"])
def test_the_manifest_has_the_error_of_its_clock(error: ClockError | None, tmp_path: Path) -> None:
    clock = Clock(CLOCK.wall_ns, CLOCK.monotonic_ns, error, None if error is None else "5f0c")
    tell(made(), [Recorder(tmp_path, "run-1", clock=lambda: clock)])
    [file] = tmp_path.rglob("manifest.json")
    expected = None if error is None else {"synchronised": True, "max_error_us": 1_500, "estimated_error_us": 20}
    assert json.loads(file.read_text())["clock"] == {
        "name": "CLOCK_MONOTONIC",
        "start_ns": START,
        "wall_minus_monotonic_ns": CLOCK.wall_ns - START,
        "error": expected,
        "boot_id": None if error is None else "5f0c",
    }


SWITCHOVER = {
    "expected-pages": 500,
    "expected-time": 40_000_000,
    "pages": 520,
    "time": 41_500_000,
    "stopped-time": 60_000_000,
}


@pytest.mark.parametrize(
    ("switchover", "expected"),
    [
        (SWITCHOVER, (500, 0.04, 520, 0.0415, 0.06)),
        (SWITCHOVER | {"expected-time": 0}, (500, None, 520, 0.0415, 0.06)),
        ({"expected-pages": 500}, (500, None, None, None, None)),
        ({"expected-pages": 0, "expected-time": 0}, (0, 0.0, None, None, None)),
        ({"expected-pages": 0, "expected-time": 7}, (0, 7e-9, None, None, None)),
        (None, (None, None, None, None, None)),
    ],
    ids=["whole", "no bandwidth known, earlier", "no bandwidth known", "nothing expected", "not over", "another QEMU"],
)
def test_what_the_switchover_was_expected_to_take(
    tmp_path: Path, switchover: dict[str, int] | None, expected: tuple[object, ...]
) -> None:
    report = REPORT | ({} if switchover is None else {"switchover": switchover})
    tell(made(), [recorder(tmp_path)], [MigrationStarted(START), RoundEnded(START, bulk()), FinalReport(START, report)])
    (row,) = fakedirty.load(tmp_path).migrations.to_dict("records")
    parts = ("expected_pages", "expected_seconds", "pages", "seconds", "stopped_seconds")
    names = [f"switchover_{name}" for name in parts]
    assert tuple(None if row[name] is pd.NA else row[name] for name in names) == expected


def test_the_manifest_says_by_what_and_when(tmp_path: Path) -> None:
    to = recorder(tmp_path)
    tell(made(), [to])
    manifest = json.loads((to.directories[0] / "manifest.json").read_text())
    assert manifest["qemu"] == {"version": "10.0.13"}
    assert manifest["schema_version"] == 1
    assert manifest["versions"]["fakedirty"] == fakedirty.__version__
    assert manifest["versions"]["kernel"] == f"{os.uname().sysname} {os.uname().release}"
    assert manifest["started_at"] == "2023-11-14T22:13:20+00:00"
    assert manifest["clock"]["start_ns"] == START


@pytest.mark.parametrize(
    "vm", ["a/b", "../../etc", "..", ".", "", 'says "hi"', "Gäste, 2", "NA", "null", "x.partial", "ö" * 300, "a\nb"]
)
def test_any_name_of_a_vm(tmp_path: Path, vm: str) -> None:
    to = recorder(tmp_path)
    tell(made(vm), [to])
    (directory,) = to.directories
    assert directory.parent.parent == tmp_path
    recording = fakedirty.load(tmp_path)
    assert list(recording.migrations["vm"].fillna("")) == [vm]
    assert set(recording.rounds["vm"].fillna("")) == {vm}
    assert not directory.name.endswith(".partial")


@given(st.text(), st.text())
def test_safe_names_are_safe_and_tell_names_apart(one: str, other: str) -> None:
    for name in (safe_name(one), safe_name(other)):
        assert "/" not in name
        assert name not in {"", ".", ".."}
        assert name.isascii()
        assert len(name) <= LONGEST
    if one != other:
        assert safe_name(one) != safe_name(other)


def test_names_that_look_alike_have_directories_of_their_own() -> None:
    long = "w" * 2 * LONGEST
    alike = [
        "a b",
        "a_b",
        "a%20b",
        "a+b",
        ".a",
        "%2Ea",
        "a.partial",
        "a%2Epartial",
        "",
        "%",
        "%25",
        "a\udcff",
        "a\\xff",
    ]
    alike += [long, safe_name(long), long + "w", f"{long[: LONGEST - 13]}~{'0' * 12}"]
    assert len({safe_name(name) for name in alike}) == len(alike)


def test_two_migrations_of_the_same_second_and_id(tmp_path: Path) -> None:
    for _ in range(3):
        tell(made(), [recorder(tmp_path)])
    assert len({path.parent for path in tmp_path.rglob("migration.json")}) == 3
    assert len(fakedirty.load(tmp_path).rounds) == 12


def test_several_vms_at_once(tmp_path: Path) -> None:
    to = recorder(tmp_path)
    one, other = made("one", "m1"), made("other", "m2")
    for migration in (one, other):
        to.started(migration)
    for event in EVENTS:
        for migration in (one, other):
            migration.apply(event)
            to.changed(migration, event)
    for migration in (other, one):
        to.ended(migration)
    recording = fakedirty.load(tmp_path)
    assert recording.rounds.groupby("vm").size().to_dict() == {"one": 4, "other": 4}
    assert list(fakedirty.load(tmp_path / "one").migrations["vm"]) == ["one"]
    assert list(fakedirty.load(to.directories[0]).migrations["vm"]) == ["other"]


def test_finished_rounds_are_readable_while_it_runs(tmp_path: Path) -> None:
    to, migration = recorder(tmp_path), made()
    to.started(migration)
    assert len(fakedirty.load(tmp_path).rounds) == 0
    for number in range(2, 5):
        event = RoundEnded(START, again(number, True))
        migration.apply(event)
        to.changed(migration, event)
        recording = fakedirty.load(tmp_path)
        assert list(recording.rounds["round"]) == list(range(2, number + 1))
        assert recording.migrations["outcome"][0] == "unfinished"
        assert recording.migrations["valid"][0] is pd.NA


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from made_migrations import EVENTS, batch, made, tell
from fakedirty.record.recorder import Recorder
to, migration = Recorder(Path(sys.argv[1]), "run"), made()
to.started(migration)
to.pages(migration, batch(0, 200))
for event in EVENTS[:4]:
    migration.apply(event)
    to.changed(migration, event)
to.pages(migration, batch(0, 200, 3))
print("recorded", flush=True)
sys.stdin.read()
"""


def test_a_killed_collector_leaves_what_it_had(tmp_path: Path) -> None:
    tests = Path(__file__).parents[2] / "helpers"
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(tests)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "recorded\n"
        process.send_signal(signal.SIGKILL)
    recording = fakedirty.load(tmp_path)
    assert list(recording.rounds["round"]) == [1, 2]
    assert list(recording.toggles["to_mode"]) == ["observe"]
    assert recording.toggles["read_back"].isna().all()  # which is known at the end alone
    assert len(recording.pages) == 200
    assert recording.directories[0].name.endswith(".partial")


@pytest.mark.parametrize("gone", [1, 1000], ids=["once", "again and again"])
def test_what_gets_its_final_name_meanwhile_is_read(gone: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service goes on while its recordings are read."""
    tell(made(), [recorder(tmp_path)])
    read, looks = loading._lines, []

    def moved(file: Path, columns: tuple[Column, ...]) -> pd.DataFrame:
        if file.name == "rounds.csv" and len(looks) < gone:
            looks.append(file)
            file.parent.rename(file.parent.with_name(f"moved-{len(looks)}"))
        return read(file, columns)

    monkeypatch.setattr(loading, "_lines", moved)
    if gone > loading.MOST_TRIES:
        with pytest.raises(RecordError, match="try again"):
            fakedirty.load(tmp_path)
        return
    recording = fakedirty.load(tmp_path)
    assert len(recording.rounds) > 0
    assert [each.name for each in recording.directories] == ["moved-1"]


def test_a_line_cut_off_is_not_a_line(tmp_path: Path) -> None:
    to, migration = recorder(tmp_path), made()
    tell(migration, [to], EVENTS[:4], end=False)
    (file,) = tmp_path.rglob("rounds.csv")
    for cut in (1, 5, 20):
        file.write_bytes(file.read_bytes()[:-cut] if cut > 1 else file.read_bytes()[:-1])
        assert list(fakedirty.load(tmp_path).rounds["round"]) == [1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 1e9), st.integers(0, 2**62))
def test_any_text_and_number_survives(tmp_path: Path, text: str, seconds: float, count: int) -> None:
    out = tmp_path / os.urandom(8).hex()
    counts = Round(1, bulk().kind, None, None, seconds, seconds, dirty_pages=count, invalid_reason=text)
    tell(made(), [recorder(out)], [RoundEnded(START, counts)])
    (row,) = fakedirty.load(out).rounds.to_dict("records")
    assert row["dirty_pages"] == count
    assert row["start_seconds"] == pytest.approx(seconds, abs=1e-9)
    assert row["invalid_reason"] == text
    with next(out.rglob("rounds.csv")).open(newline="", encoding="utf-8") as file:
        (plain,) = csv.DictReader(file)
    assert plain["invalid_reason"] == text


def test_a_surrogate_does_not_stop_the_recording(tmp_path: Path) -> None:
    tell(made("vm-\udcff"), [recorder(tmp_path)])
    assert list(fakedirty.load(tmp_path).migrations["vm"]) == ["vm-\\xff"]


def test_a_line_cut_off_within_a_character_or_quotes(tmp_path: Path) -> None:
    tell(made("ü\nü"), [recorder(tmp_path)], EVENTS[:4], end=False)
    (file,) = tmp_path.rglob("rounds.csv")
    whole = file.read_bytes()
    for length in [*range(0, len(whole), 97), *range(len(whole) - 30, len(whole))]:
        file.write_bytes(whole[:length])
        assert list(fakedirty.load(tmp_path).rounds["round"]) in ([], [1])


def test_no_directory_and_no_recording_are_reported(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="not a directory"):
        fakedirty.load(tmp_path / "nothing")
    with pytest.raises(RecordError, match=r"manifest\.json"):
        fakedirty.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("manifest.json", "{"), ("manifest.json", "[]"), ("rounds.csv", "round\nx\n"), ("rounds.csv", b"\xff\n")],
)
def test_damage_is_told_with_the_file(tmp_path: Path, name: str, content: str | bytes) -> None:
    to = recorder(tmp_path)
    tell(made(), [to])
    (to.directories[0] / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(RecordError, match=name):
        fakedirty.load(tmp_path)


@pytest.mark.parametrize("number", ['"x"', "1e30", "[]"])
def test_a_number_that_is_none_is_told_with_the_recording(number: str, tmp_path: Path) -> None:
    for vm in ("one", "two"):
        tell(made(vm), [recorder(tmp_path)])
    [directory] = (tmp_path / "two").iterdir()
    content = json.loads((directory / "migration.json").read_text())
    (directory / "migration.json").write_text(json.dumps(content | {"downtime_ms": json.loads(number)}))
    with pytest.raises(RecordError, match=f"{directory} is not what fakedirty recorded"):
        fakedirty.load(tmp_path)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("column", ["start_seconds", "dirty_pages"])
def test_a_round_that_is_out_of_all_bounds_is_told(column: str, tmp_path: Path) -> None:
    to = recorder(tmp_path)
    tell(made(), [to])
    file = to.directories[0] / "rounds.csv"
    frame = pd.read_csv(file, dtype=str)
    frame.loc[1, column] = "1e300"
    frame.to_csv(file, index=False)
    with pytest.raises(RecordError, match=r"not what fakedirty recorded|not written by fakedirty"):
        restore(to.directories[0])


def test_a_full_disk_is_told_once_and_leaves_whole_lines(tmp_path: Path) -> None:
    to, migration = recorder(tmp_path), made()
    tell(migration, [to], EVENTS[:4], end=False)
    (rounds,) = tmp_path.rglob("rounds.csv")
    writing = to._writing["m1"]
    with Path("/dev/full").open("wb", buffering=0) as full:
        os.dup2(full.fileno(), writing._rounds._file.fileno())
        event = RoundEnded(START, again(3, True))
        migration.apply(event)
        with pytest.raises(RecordError, match="No space left") as caught:
            to.changed(migration, event)
    assert "--out" in str(caught.value)
    for event in (*EVENTS[5:], StateChanged(START, "completed")):
        migration.apply(event)
        to.changed(migration, event)
    to.ended(migration)
    to.started(made(migration_id="m2"))
    assert list(fakedirty.load(tmp_path).rounds["round"]) == [1, 2]
    assert rounds.read_text().endswith("\n")


def test_an_output_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="Not a directory"):
        recorder(tmp_path / "file").started(made())


def test_no_name_ends_as_a_directory_that_is_being_written() -> None:
    assert safe_name("web.partial") == "web%2Epartial"
    assert safe_name(".partial") == "%2Epartial"
    assert safe_name("web.partially") == "web.partially"


def test_a_remark_is_read_back_where_there_is_one() -> None:
    row = {**asdict(bulk()), "kind": "bulk", "mode": "observe"}
    del row["remark"]
    assert round_of(row) == bulk()
    assert round_of(row | {"remark": None}) == bulk()
    assert round_of(row | {"remark": "as a whole"}) == replace(bulk(), remark="as a whole")


def test_the_summary_has_what_is_wrong_and_nothing_else() -> None:
    migration = tell(made(), [])
    found = summary("run-1", migration, CLOCK)
    assert (found["lacks_round"], found["invalid_reasons"]) == (False, {})
    failed = tell(made(), [], [*EVENTS[:3], StateChanged(START + 5 * 10**9, "failed", follows=True)])
    assert summary("run-1", failed, CLOCK)["lacks_round"] is True


def test_the_summary_has_the_least_limits_of_the_forecast() -> None:
    migration = made()
    rounds, _ = played(Guest(65_000, changed=0.08), 3)
    for each in (MigrationStarted(START), *(RoundEnded(START, each) for each in rounds)):
        migration.apply(each)
    found = migration.forecast
    assert found is not None
    least = found.with_skip.least_limit_seconds
    assert least is not None
    verdict = summary("run-1", migration, CLOCK)["verdict"]
    assert isinstance(verdict, dict)
    assert verdict["with_skip"]["least_limit_seconds"] == asdict(least)


def test_the_table_of_migrations_has_all_of_the_summary_that_fits() -> None:
    members = ["joined_late", "lacks_round", "state", "lost_where", "invalid_reasons", "verdict", "query_migrate"]
    names = {column.name for column in MIGRATIONS}
    assert set(summary("run-1", tell(made(), []), CLOCK)) == {*names, "totals_reason", *members}


@pytest.mark.parametrize("columns", [ROUNDS, MIGRATIONS, TOGGLES])
def test_every_table_of_text_begins_with_what_identifies_a_migration(columns: tuple[Column, ...]) -> None:
    assert [column.name for column in columns][:3] == ["run_id", "migration_id", "vm"]


def test_a_long_name_is_cut_to_120_bytes() -> None:
    assert safe_name("w" * 120) == "w" * 120
    assert len(safe_name("w" * 121)) == 120
