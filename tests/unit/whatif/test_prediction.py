"""A recorded migration predicts others of the same guest: guests with known rates, migrated with drawn writes.

What is left to chance: QEMU looks every 50 ms, so each round may be 50 ms longer or shorter than expected. Counts of
pages differ by four standard deviations: of 4,000 pages 4 sqrt(4000 / 4) = 126 at most, which take 26 ms at 20 MB/s.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_guests import LOOK, DrawnGuest, DrawnMigration, migrated, record
from fakedirty.cli.main import main
from fakedirty.errors import RecordError
from fakedirty.whatif.prediction import what_if
from fakedirty.whatif.variants import Choices

PAGES, RATE, LIMIT = 20_000, 20e6, 0.3
CHANCE = 0.03  # seconds, from the number of pages


def working_set() -> DrawnGuest:
    """4,000 pages are written every half second on average, a quarter of them change; the rest rests."""
    writes, changes = np.zeros(PAGES), np.zeros(PAGES)
    writes[5000:9000] = 2.0
    changes[5000:6000] = 1e9
    return DrawnGuest(writes, changes)


def hot_subset() -> DrawnGuest:
    """1,000 pages are written all the time and change every time, 6,000 once in ten seconds and never change."""
    writes, changes = np.zeros(PAGES), np.zeros(PAGES)
    writes[1000:2000], writes[10_000:16_000] = 50.0, 0.1
    changes[1000:2000] = 1e9
    return DrawnGuest(writes, changes)


GUESTS = {"working set": working_set(), "hot subset": hot_subset()}
VARIANTS = {
    "skip": (RATE, LIMIT, True),
    "half the bandwidth, skip": (RATE / 2, LIMIT, True),
    "twice the bandwidth": (2 * RATE, LIMIT, False),
    "a limit of 1 s": (RATE, 1.0, False),
}


@pytest.fixture(scope="module", params=GUESTS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DrawnGuest, Path]:
    guest = GUESTS[request.param]
    return guest, record(migrated(guest, RATE, LIMIT, rounds=12), tmp_path_factory.mktemp("drawn"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_another_migration_of_the_guest_is_predicted(recorded: tuple[DrawnGuest, Path], variant: str) -> None:
    guest, directory = recorded
    rate, limit, skip = VARIANTS[variant]
    real = [migrated(guest, rate, limit, skip=skip, seed=seed) for seed in (2, 3, 4)]
    [found] = what_if(directory, Choices([rate], [limit], [skip])).variants
    assert {each.total is not None for each in real} == {found.converges}
    for each in real:
        if each.total is not None and found.total_seconds is not None:
            chance = len(each.rounds) * (LOOK + CHANCE)
            assert found.total_seconds.expected == pytest.approx(each.total, abs=chance)


def short() -> DrawnMigration:
    return migrated(working_set(), RATE, LIMIT, rounds=4)


def test_rounds_with_forced_syncs_or_records_that_are_missing_show_nothing(tmp_path: Path) -> None:
    made = short()
    forced = [replace(each, counts=replace(each.counts, forced_syncs=1)) for each in made.rounds[1:]]
    with pytest.raises(RecordError, match="forced syncs"):
        what_if(record(replace(made, rounds=[made.rounds[0], *forced]), tmp_path / "forced"), Choices())
    names = ("at", "seconds", "classes", "dispositions")
    fewer = [replace(each, **{name: getattr(each, name)[1:] for name in names}) for each in made.rounds]
    with pytest.raises(RecordError, match=r"visited 18,762 pages, and 18,761 are on record"):
        what_if(record(replace(made, rounds=fewer), tmp_path / "bulk"), Choices())
    with pytest.raises(RecordError, match="are on record"):
        what_if(record(replace(made, rounds=[made.rounds[0], *fewer[1:]]), tmp_path / "later"), Choices())


def test_one_bad_round_is_left_out_and_named(tmp_path: Path) -> None:
    made = short()
    bad = replace(made.rounds[1], counts=replace(made.rounds[1].counts, forced_syncs=2))
    found = what_if(record(replace(made, rounds=[made.rounds[0], bad, *made.rounds[2:]]), tmp_path), Choices())
    assert any(each.startswith("1 rounds show nothing: round 2 has 2 forced syncs") for each in found.assumptions)


def test_what_does_not_show_enough_is_refused(tmp_path: Path) -> None:
    made = short()
    with pytest.raises(RecordError, match="--pages"):
        what_if(record(made, tmp_path / "none", pages=False), Choices())
    with pytest.raises(RecordError, match="one round"):
        what_if(record(replace(made, rounds=made.rounds[:1]), tmp_path / "one"), Choices())
    with pytest.raises(RecordError, match="no bulk round"):
        what_if(record(replace(made, rounds=made.rounds[1:]), tmp_path / "late"), Choices())


def test_a_sample_stands_for_all_pages(tmp_path: Path) -> None:
    """Every fourth page is on record, and the counts say so: the same end, within what the sample leaves to chance."""
    made = migrated(working_set(), RATE, LIMIT, rounds=12)
    rounds = []
    for each in made.rounds:
        some = each.at % 4 == 0
        parts = {name: getattr(each, name)[some] for name in ("at", "seconds", "classes", "dispositions")}
        rounds.append(replace(each, counts=replace(each.counts, sampled_pages=int(some.sum())), **parts))
    found = what_if(record(replace(made, rounds=rounds), tmp_path / "some"), Choices(modes=[True]))
    whole = what_if(record(made, tmp_path / "all"), Choices(modes=[True]))
    assert "pages were sampled: each page on record stands for 4" in found.assumptions
    ends = [each.variants[0].total_seconds for each in (found, whole)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0].expected == pytest.approx(ends[1].expected, abs=3 * (LOOK + 2 * CHANCE))


def test_the_cache_of_xbzrle_stays_as_it_was_recorded(tmp_path: Path) -> None:
    """QEMU reports its size; of a recording without a report, the list says that it is not known."""
    made = short()
    last = made.rounds[-1]
    encoded = replace(last, counts=replace(last.counts, xbzrle_pages=last.counts.normal_pages, normal_pages=0))
    directory = record(replace(made, rounds=[*made.rounds[:-1], encoded]), tmp_path)
    found = what_if(directory, Choices(modes=[True]))
    assert found.played.variant.xbzrle_cache == 0
    assert any("the size of its cache was not recorded" in each for each in found.assumptions)
    summary = json.loads((directory / "migration.json").read_text())
    summary["query_migrate"] = {"xbzrle-cache": {"cache-size": 1 << 26}}
    (directory / "migration.json").write_text(json.dumps(summary))
    found = what_if(directory, Choices(modes=[True]))
    assert {each.variant.xbzrle_cache for each in (found.played, *found.variants)} == {1 << 26}
    assert not any("the size of its cache was not recorded" in each for each in found.assumptions)
    assert what_if(directory, Choices(caches=[0])).variants[0].variant.xbzrle_cache == 0


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({}, "ms of it stopped, as they did"),
        ({"state": "cancelled"}, "0 ms of it stopped: the recorded migration did not complete"),
        ({"postcopy_seconds": 4.0}, "0 ms of it stopped: the recorded migration went on by postcopy"),
        ({"query_migrate": {}}, "0 ms of it stopped: QEMU's report on the end of the recorded migration was not seen"),
    ],
)
def test_an_end_that_was_not_seen_is_not_taken_for_the_recorded_one(
    seen: dict[str, object], said: str, tmp_path: Path
) -> None:
    directory = record(replace(short(), total=9.0, down=0.2), tmp_path)
    summary = json.loads((directory / "migration.json").read_text())
    (directory / "migration.json").write_text(json.dumps(summary | seen))
    assert said in what_if(directory, Choices()).assumptions[-1]


def test_no_end_is_certain_only_if_no_case_has_one(tmp_path: Path) -> None:
    """The guest of 3,000 pages ends at best and, without pages that are written at once, at worst."""
    writes = np.zeros(PAGES)
    writes[:3000] = 2.0
    directory = record(migrated(DrawnGuest(writes, writes / 2), RATE, LIMIT), tmp_path)
    [found] = what_if(directory, Choices(limits=[1e-3], throttles=[0.5])).variants
    assert (found.converges, found.certain) == (False, False)


def test_the_command_shows_the_recorded_migration_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = record(migrated(working_set(), RATE, 1.0, rounds=12), tmp_path, limit_ms=1000)
    picture = tmp_path / "figure.svg"
    wanted = ["--mode", "skip", "--bandwidth", "20MB/s", "--downtime-limit", "500 ms", "--out", str(picture)]
    assert main(["what-if", str(directory), *wanted]) == 0
    text = capsys.readouterr().out
    assert text.startswith("drawn m1: completed")
    assert text.index("recorded") < text.index("the same, played") < text.index("20.0 MB/s")
    assert "assumed:" in text
    assert picture.read_text().count("20.0 MB/s, limit 500 ms, skip") == 1
    assert main(["what-if", str(directory), *wanted[:2], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recorded"]["total_seconds"] == pytest.approx(found["played"]["total_seconds"]["expected"], abs=0.3)
    assert [each["variant"]["given"] for each in found["variants"]] == [["skips"]]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--bandwidth", "60"],
        ["--bandwidth", "0B/s"],
        ["--bandwidth", f"0.{'0' * 318}1B/s"],
        ["--throttle", "100%"],
        ["--downtime-limit", "-1ms"],
        ["--xbzrle-cache", "5000B"],
        ["--xbzrle-cache", "0.4B"],
        ["--out", "figure"],
        ["--out", "figure.txt"],
        ["--xbzrle-cache", f"{'9' * 400}B"],
    ],
)
def test_settings_without_a_meaning_are_refused(
    wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = record(short(), tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["what-if", str(directory), *wrong])
    except SystemExit as end:
        status = int(str(end.code))
    assert status == 2
    assert [each.name for each in tmp_path.iterdir()] == ["runs"]
