"""A switchover that knows what will be sent: never more than it expected, whatever the guest was like before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from fakedirty.lab.fuzz.plans.draw_attempt import AVAILABLE
from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import PATIENCE_MS, PAUSED, UNLIMITED, Settings, Step, migrate
from fakedirty.lab.network import GIGABIT
from fakedirty.qmp.client import Qmp
from hugepages import huge_pages, on_huge_pages
from series import SLOW, assert_equal, bench, pair, rounds, setting

NEVER = 1000  # bytes/s: less than a page fits any downtime limit

# One round of what changes never fits; what is rewritten fits by far. Its phases last long enough that all of it is
# sent in a silent one, and it is all changed again soon after.
PHASES = Workload(phased=12_000, changed=100, untouched=500, memory_mib=96)
PHASES_LIMIT_MS = 200

# a third of what hashing all silent pages takes, or less, and more than sending those that change
HASHING_LIMIT_MS = 5

# the link is tried every ten seconds, for some tenths of a second, by sending fake pages
LONGER_THAN_BETWEEN_PROBES = 11.0

# small enough for a look to take in all dirty pages; without a pause, so that no sync finds none before it stands still
STILL = Workload(fake=2000, changed=300, zero=200, aba=200, untouched=500, pause_ms=0, memory_mib=64)


def sent(each: Mapping[str, Any]) -> int:
    """Pages of a round that were not left out."""
    return int(each["normal"] + each["zero"] + each["xbzrle"] + each["unchanged"])


@pytest.mark.parametrize("after_seconds", [0.0, 0.3, 0.6])
def test_a_guest_that_begins_to_change_its_pages_does_not_exceed_the_downtime_limit(after_seconds: float) -> None:
    """Phases of silent writes and of real ones: the switchover is in a silent one, wherever the migration began."""
    limit_pages = GIGABIT / 8 * PHASES_LIMIT_MS / 1000 / PAGE_BYTES
    settings = Settings(PHASES_LIMIT_MS, parameters={"fake-dirty-mode": "skip"})
    with pair(PHASES) as (source, destination):
        time.sleep(after_seconds)
        outcome = migrate(source, destination, settings, time_limit=60)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
    assert outcome.converged
    assert history[-1]["kind"] == "switchover"
    assert sent(history[-1]) <= limit_pages < PHASES.phased


@pytest.mark.parametrize("xbzrle", [False, True], ids=["plain", "xbzrle"])
@pytest.mark.parametrize("hash_name", ["xxh3-64", "sha1"])
def test_of_a_guest_that_stands_still_no_more_is_sent_than_expected(hash_name: str, xbzrle: bool) -> None:
    def stand_still(qmp: Qmp) -> None:
        qmp.execute("stop")
        # 5 ms of this are 1800 pages: all that are dirty do not fit, those that have to be sent do
        qmp.execute("migrate-set-parameters", {AVAILABLE: 1800 * PAGE_BYTES * 200})

    settings = Settings(
        5,
        SLOW,
        parameters={"fake-dirty-mode": "skip", "fake-dirty-hash": hash_name, AVAILABLE: NEVER},
        capabilities={"xbzrle": xbzrle},
    )
    with pair(STILL) as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=60, steps=[Step(stand_still, after_round=4)])
        assert outcome.status == "completed"
        assert_equal(source, destination)
        last = rounds(source.qmp)[-1]
    assert outcome.converged
    assert last["kind"] == "switchover"
    expected = outcome.final["fake-dirty"]["expected"]
    assert sent(last) <= expected <= last["dirty"]
    if last["dirty"] > 1800:
        assert expected < last["dirty"], "what is not sent was counted all the same"


def asked(mode: str, after_round: int, workload: Workload, **settings: Any) -> Mapping[str, Any]:
    """``query-migrate`` after some rounds of a migration that has no end before.

    It has one where the guest got no time of the processor for as long as a round took, and so wrote nothing.
    """
    for _attempt in range(3):
        if answers := _asked(mode, after_round, workload, **settings):
            return answers[0]
    raise AssertionError("each time the guest wrote nothing for a whole round")


def _asked(mode: str, after_round: int, workload: Workload, **settings: Any) -> list[Mapping[str, Any]]:
    answers: list[Mapping[str, Any]] = []
    parameters = {"fake-dirty-mode": mode, AVAILABLE: NEVER, **settings.pop("parameters", {})}
    with pair(workload) as (source, destination):
        outcome = migrate(
            source,
            destination,
            Settings(1, parameters=parameters, **settings),
            time_limit=200,
            steps=[
                Step(lambda qmp: answers.append(qmp.execute("query-migrate")), after_round=after_round),
                Step(setting({AVAILABLE: 0, "downtime-limit": 10_000}), after_round=after_round),
            ],
        )
        assert outcome.status == "completed"
        assert_equal(source, destination)
    return answers


def test_the_downtime_that_is_expected_is_that_of_what_is_sent() -> None:
    parameters = {AVAILABLE: SLOW}
    expected = {
        mode: asked(mode, 5, STILL, bandwidth_bytes=SLOW, parameters=parameters)["expected-downtime"]
        for mode in ("observe", "skip")
    }
    assert expected["observe"] > 1.5 * expected["skip"] > 0


def test_a_guest_is_not_throttled_for_pages_that_are_not_sent() -> None:
    """It would be, were more dirty than sent twice for a second: in a round by the link, in ten that are skipped."""
    silent = Workload(fake=60_000, untouched=500, pause_ms=0, memory_mib=320)
    # hashing all of them has to fit: a guest that cannot be hashed within the limit is throttled, and rightly so
    patient: dict[str, Any] = {"downtime-limit": 1000}
    auto = {"auto-converge": True}
    throttled = {
        mode: asked(mode, after_round, silent, bandwidth_bytes=UNLIMITED, parameters=patient, capabilities=auto)
        for mode, after_round in (("observe", 5), ("skip", 30))
    }
    assert throttled["observe"]["cpu-throttle-percentage"] > 0
    assert "cpu-throttle-percentage" not in throttled["skip"]
    assert throttled["skip"]["fake-dirty"]["skipped"] > 0


def test_a_guest_that_cannot_be_hashed_within_the_limit_is_throttled() -> None:
    """Hardly anything is to be sent, but hashing all that it rewrites takes longer than the downtime limit."""
    # so much is sent first that what is rewritten meanwhile is little beside it
    silent = Workload(fake=3000, changed=10, untouched=60_000, pause_ms=0, memory_mib=320)
    throttled: list[int] = []

    def look(qmp: Qmp) -> None:
        throttled.append(qmp.execute("query-migrate").get("cpu-throttle-percentage", 0))
        if throttled[-1] > 0:
            qmp.execute("migrate-set-parameters", {"downtime-limit": PATIENCE_MS})

    slow = {
        "fake-dirty-mode": "skip",
        "fake-dirty-hash": "md5",
        # per cent of the time: sending what changes takes less, and hashing more, also where others use the processors
        "throttle-trigger-threshold": 5,
        AVAILABLE: GIGABIT // 8,  # else the link is tried by sending fake pages, which is more than that
    }
    settings = Settings(HASHING_LIMIT_MS, parameters=slow, capabilities={"auto-converge": True})
    steps = [Step(look, after_seconds=second / 2) for second in range(240)]
    with pair(silent) as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=120, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        later = [each for each in rounds(source.qmp) if each["kind"] == "iterative"]
    assert max(throttled) > 0
    assert outcome.converged
    fits = GIGABIT / 8 * HASHING_LIMIT_MS / 1000 / PAGE_BYTES
    assert min(map(sent, later)) < fits, "by what is sent alone it would have ended"


def test_a_link_that_gets_slower_is_noticed_while_pages_are_skipped() -> None:
    """What changes would fit at the speed of the bulk round, but does not at that of the link as it is now."""
    mix = Workload(fake=20_000, changed=1500, memory_mib=128)
    settings = Settings(100, parameters={"fake-dirty-mode": "skip", AVAILABLE: NEVER})
    with bench(mix) as both, both.source() as source, both.destination() as destination:
        assert both.network
        link = both.network.source
        steps = [
            Step(lambda _qmp: link.shape(GIGABIT // 10), after_seconds=2.0),
            Step(setting({AVAILABLE: 0}), after_seconds=4.0),
            Step(lambda _qmp: link.shape(GIGABIT), after_seconds=9.0),
        ]
        outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        last = rounds(source.qmp)[-1]
    assert outcome.converged, "it ends when the link is what it was"
    # a guest that got little of the processor may have written less than it could
    fits = sent(last) <= GIGABIT / 10 / 8 * 0.1 / PAGE_BYTES
    assert fits or outcome.final["total-time"] > 9000, "it ended on a link that was too slow for its downtime limit"


def test_the_link_is_not_tried_in_the_switchover_however_long_it_was_paused_before() -> None:
    """A huge page is visited small page by small page, each of which could be the one at which a probe begins."""
    mix = Workload(fake=6000, changed=100, untouched=500, pause_ms=0, memory_mib=64)
    settings = Settings(200, SLOW, {"fake-dirty-mode": "skip"}, {"pause-before-switchover": True})

    def go_on(qmp: Qmp) -> None:
        time.sleep(LONGER_THAN_BETWEEN_PROBES)
        qmp.execute("migrate-continue", state=PAUSED)

    with huge_pages(2, 64), pair(mix, on_huge_pages(64, 2)) as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=60, steps=[Step(go_on, in_state=PAUSED)])
        assert outcome.status == "completed"
        assert_equal(source, destination)
        last = rounds(source.qmp)[-1]
    assert outcome.converged
    assert last["kind"] == "switchover"
    assert last["skipped"] > 0, "there was nothing to try the link with"
    assert last["unchanged"] == 0
    assert outcome.final["switchover"]["pages"] == sent(last)
