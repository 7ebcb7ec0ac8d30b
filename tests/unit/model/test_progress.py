"""Progress and time left of migrations that are computed here, round by round."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.format.progress import progress_words
from fakedirty.model.enums import Kind, Level, Mode
from fakedirty.model.events import (
    Event,
    GuestContinued,
    GuestStopped,
    LimitsRead,
    MigrationStarted,
    ModeChanged,
    RoundEnded,
    StateChanged,
)
from fakedirty.model.forecast import Estimate
from fakedirty.model.migration import Migration
from fakedirty.model.prediction import predict
from fakedirty.model.progress import MOST_BEFORE_THE_END, LiveProgress, Outlook, Progress
from fakedirty.model.round import Round
from hypothesis import given
from hypothesis import strategies as st
from played_guests import Guest, played

START = 10**12
SLOW = Guest(60_000, changed=0.9, sweep=8.0)  # each of its rounds is shorter than the one before
LONG = Guest(60_000, changed=0.9, sweep=3.5)  # the same, by less
STUCK = Guest(60_000, changed=0.5)  # no round is
ENDS_WITH_SKIP = Guest(65_000, changed=0.08)


def at(seconds: float) -> int:
    return START + round(seconds * 1e9)


def ended(r: Round) -> RoundEnded:
    return RoundEnded(at(r.start_seconds + r.duration_seconds), r)


def migration(rounds: list[Round], *, partial: bool = False, limit_ms: int = 300) -> Migration:
    """One that has come as far as the end of these rounds."""
    made = Migration("vm", Level.PATCHED, "m1", START)
    made.apply(MigrationStarted(START, partial))
    made.apply(LimitsRead(START, limit_ms, None, 1, False))
    for r in rounds:
        made.apply(ended(r))
    return made


def test_there_is_a_time_left_from_the_second_round_on() -> None:
    rounds, total = played(LONG, 100)
    assert total
    one = migration(rounds[:1])
    assert one.progress == Progress(Outlook.UNKNOWN, None, pytest.approx(rounds[1].start_seconds))
    assert progress_words(one.progress) == ""
    one.apply(ended(rounds[1]))
    one.apply(ended(rounds[2]))
    progress = one.progress
    assert progress.outlook is Outlook.ENDS
    assert progress.left_seconds is not None
    assert progress.left_seconds.expected == pytest.approx(total - rounds[3].start_seconds, rel=0.2)
    assert progress.ratio == pytest.approx(rounds[3].start_seconds / total, rel=0.05)


def test_between_rounds_it_counts_down_and_then_is_overdue() -> None:
    progress = Progress(Outlook.ENDS, 0.5, 10.0, Estimate(12.0, 20.0, 26.0), certain=True)
    assert progress.left_seconds == Estimate(2.0, 10.0, 16.0)
    assert progress.overdue_seconds is None
    assert progress_words(progress) == "about 10 s left (2 s to 16 s)"
    later = replace(progress, elapsed_seconds=15.0)
    assert later.left_seconds == Estimate(0.0, 5.0, 11.0)
    late = replace(progress, elapsed_seconds=23.0)
    assert late.left_seconds == Estimate(0.0, 0.0, 3.0)
    assert late.overdue_seconds == 3.0
    assert progress_words(late) == "overdue by 3 s, 3 s left at worst"
    beyond = replace(progress, elapsed_seconds=30.0)
    assert beyond.left_seconds == Estimate(0.0, 0.0, 0.0)
    assert progress_words(beyond) == "overdue by 10 s"
    open_ended = replace(progress, total_seconds=Estimate(12.0, 20.0, None), certain=False)
    assert open_ended.left_seconds == Estimate(2.0, 10.0, None)
    assert progress_words(open_ended) == "probably about 10 s left (at best 2 s)"
    assert progress_words(replace(open_ended, elapsed_seconds=21.0)) == "overdue by 1 s"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (20.4, "less than 1 s left (0 s to 6 s)"),
        (20.6, "overdue by 1 s, 5 s left at worst"),
        (25.6, "overdue by 6 s"),
    ],
)
def test_it_is_never_overdue_by_0_s_nor_has_0_s_left_at_worst(seconds: float, words: str) -> None:
    assert progress_words(Progress(Outlook.ENDS, 0.99, seconds, Estimate(12.0, 20.0, 26.0), certain=True)) == words


def test_a_tick_moves_it_on() -> None:
    rounds, _ = played(LONG, 3)
    one = migration(rounds)
    before = one.progress
    one.tick(at(before.elapsed_seconds + 0.2))
    after = one.progress
    assert before.left_seconds is not None
    assert after.left_seconds is not None
    assert before.ratio is not None
    assert after.left_seconds.expected == pytest.approx(before.left_seconds.expected - 0.2)
    assert after.ratio == pytest.approx(before.ratio * (before.elapsed_seconds + 0.2) / before.elapsed_seconds)
    one.tick(at(1.0))
    assert one.progress == after, "a clock does not run backwards"


def test_it_is_almost_done_and_not_done_until_it_has_completed() -> None:
    rounds, _ = played(SLOW, 3)
    one = migration(rounds)
    assert one.progress.total_seconds is not None
    one.tick(at(one.progress.total_seconds.expected + 0.2))
    assert one.progress.ratio == MOST_BEFORE_THE_END
    one.apply(StateChanged(at(60.0), "completed"))
    assert one.progress == Progress(Outlook.OVER, 1.0, 60.0)
    assert progress_words(one.progress) == ""


def test_one_that_will_not_end_has_no_number() -> None:
    rounds, total = played(STUCK, 4)
    assert total is None
    one = migration(rounds)
    assert (one.progress.outlook, one.progress.ratio, one.progress.left_seconds) == (Outlook.NO_END, None, None)
    assert one.progress.certain
    assert progress_words(one.progress) == "it will not end"
    assert progress_words(migration(rounds[:2]).progress) == "it will probably not end"


def test_skip_gives_it_an_end() -> None:
    rounds, total = played(ENDS_WITH_SKIP, 100, skip_after=2)
    assert total
    one = migration(rounds[:2])
    assert one.progress.outlook is Outlook.NO_END
    one.apply(ModeChanged(at(rounds[2].start_seconds), 3, Mode.OBSERVE, Mode.SKIP, "xxh3-64"))
    one.apply(ended(rounds[2]))
    assert one.progress.outlook is Outlook.ENDS
    assert one.progress.total_seconds is not None
    assert one.progress.total_seconds.expected == pytest.approx(total, rel=0.01)


def test_an_end_that_is_put_off_makes_it_wait() -> None:
    live = LiveProgress()
    slow, _ = played(SLOW, 3)
    stuck, _ = played(STUCK, 3)
    ending, endless = migration(slow).forecast, migration(stuck).forecast
    assert ending
    assert endless
    total = ending.in_force.total_seconds
    assert total
    half = total.expected / 2
    live.take(half, Outlook.ENDS, ending, share=True, completed=False)
    assert live.latest.ratio == pytest.approx(0.5)
    live.take(half + 1, Outlook.NO_END, endless, share=True, completed=False)
    assert (live.latest.ratio, live.latest.total_seconds) == (pytest.approx(0.5), None)
    later = replace(ending.as_is, total_seconds=Estimate(0.0, 10 * total.expected, None))
    live.take(half + 2, Outlook.ENDS, replace(ending, as_is=later), share=True, completed=False)
    assert live.latest.ratio == pytest.approx(0.5), "a twentieth, of what was taken for a half"


def test_a_refuted_forecast_gives_no_number() -> None:
    rounds, _ = played(SLOW, 3)
    one = migration(rounds)
    ratio = one.progress.ratio
    one.tick(at(1_000.0))
    assert one.refuted
    assert (one.progress.outlook, one.progress.left_seconds) == (Outlook.WITHDRAWN, None)
    assert one.progress.ratio == ratio
    assert progress_words(one.progress) == "no time left is known: the verdict is withdrawn"


@pytest.mark.parametrize(
    ("event", "outlook", "words"),
    [
        (GuestStopped(at(40.0)), Outlook.SWITCHOVER, "the guest is stopped: QEMU sends the rest"),
        (StateChanged(at(40.0), "device"), Outlook.SWITCHOVER, "the guest is stopped: QEMU sends the rest"),
        (StateChanged(at(40.0), "postcopy-active"), Outlook.POSTCOPY, "in postcopy: no end is predicted"),
        (StateChanged(at(40.0), "postcopy-paused"), Outlook.POSTCOPY, "in postcopy: no end is predicted"),
        (StateChanged(at(40.0), "cancelling"), Outlook.UNKNOWN, ""),
        (StateChanged(at(40.0), "failed"), Outlook.OVER, ""),
    ],
    ids=["stopped", "device", "postcopy", "paused", "cancelling", "failed"],
)
def test_where_nothing_is_predicted_there_is_no_time_left(event: Event, outlook: Outlook, words: str) -> None:
    rounds, _ = played(SLOW, 3)
    one = migration(rounds)
    ratio = one.progress.ratio
    assert ratio is not None
    one.apply(event)
    assert (one.progress.outlook, one.progress.ratio) == (outlook, ratio)
    assert one.progress.left_seconds is None
    assert progress_words(one.progress) == words


def test_a_guest_that_goes_on_has_a_time_left_again() -> None:
    rounds, _ = played(SLOW, 3)
    one = migration(rounds)
    one.apply(GuestStopped(at(rounds[-1].start_seconds + 3)))
    one.apply(GuestContinued(at(rounds[-1].start_seconds + 4)))
    assert one.progress.outlook is Outlook.ENDS


def test_a_migration_of_one_round_has_no_progress_until_it_has_completed() -> None:
    rounds, _ = played(SLOW, 1)
    one = migration(rounds)
    one.apply(ended(replace(rounds[0], round=2, kind=Kind.SWITCHOVER, start_seconds=4.5, duration_seconds=0.1)))
    assert (one.progress.outlook, one.progress.ratio) == (Outlook.SWITCHOVER, None)
    one.apply(StateChanged(at(5.0), "completed"))
    assert one.progress.ratio == 1.0


def test_where_the_start_was_not_seen_there_is_a_time_left_and_no_share() -> None:
    rounds, _ = played(SLOW, 3)
    one = migration(rounds, partial=True)
    assert one.progress.left_seconds is not None
    assert one.progress.ratio is None


def test_at_the_destination_nothing_is_known() -> None:
    one = Migration("vm", Level.PATCHED, "m1", START, incoming=True)
    one.apply(MigrationStarted(START, incoming=True))
    one.apply(StateChanged(at(5.0), "completed"))
    assert one.progress == Progress()


moves = st.one_of(
    st.integers(1, 2_000).map(lambda limit: LimitsRead(0, limit)),
    st.floats(0.1, 30.0),
    st.just("round"),
    st.sampled_from(["active", "device", "pre-switchover", "postcopy-active"]),
)


@given(st.sampled_from([SLOW, LONG, STUCK, ENDS_WITH_SKIP]), st.lists(moves, max_size=40))
def test_it_never_runs_backwards_whatever_happens(guest: Guest, all_moves: list[object]) -> None:
    """The limit changes at every round, forecasts come and go, time passes: a progress waits at most."""
    rounds, _ = played(guest, 12, skip_after=4)
    one, now, left = migration(rounds[:2]), rounds[1].start_seconds + rounds[1].duration_seconds, rounds[2:]
    ratios = [one.progress.ratio or 0.0]
    for move in all_moves:
        match move:
            case LimitsRead():
                one.apply(replace(move, time_ns=at(now)))
            case float():
                now += move
                one.tick(at(now))
            case "round" if left:
                r, *left = left
                one.apply(ended(replace(r, start_seconds=now)))
                now += r.duration_seconds
            case str():
                one.apply(StateChanged(at(now), "active" if move == "round" else move))
        ratios.append(one.progress.ratio or 0.0)
        assert one.progress.left_seconds is None or one.progress.left_seconds.low >= 0
    assert ratios == sorted(ratios)
    assert max(ratios) < 1
    one.apply(StateChanged(at(now), "completed"))
    assert one.progress.ratio == 1


def test_only_an_end_that_is_predicted_now_is_certain() -> None:
    found = predict(played(Guest(65_000, changed=0.08), 3)[0], 0.3)
    assert found is not None
    found = replace(found, as_is=replace(found.as_is, certain=True))
    one = LiveProgress()
    one.take(1.0, Outlook.ENDS, found, share=True, completed=False)
    assert one.latest.certain
    for outlook in (Outlook.WITHDRAWN, Outlook.SWITCHOVER, Outlook.POSTCOPY):
        one.take(1.0, outlook, found, share=True, completed=False)
        assert (one.latest.certain, one.latest.total_seconds) == (False, None)
