"""Where the downtime went: each moment counted once, and nothing made up."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from fakedirty.model.downtime import Blackout, PartKind
from fakedirty.model.downtime import blackout as divided
from fakedirty.model.events import (
    CheckpointReached,
    Event,
    FinalReport,
    GuestArrived,
    GuestContinued,
    MigrationStarted,
    StateChanged,
)
from fakedirty.model.migration import Migration
from fakedirty.model.switchover_log import SwitchoverLog
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import made
from made_switchover import (
    COUNTED,
    DESTINATION,
    END,
    MS,
    NETWORK,
    SOURCE,
    STOP,
    TIMER,
    at,
    loaded,
    reached,
    saved,
)

COMPLETED = StateChanged(at(71), "completed")


def migrated(*events: Event) -> Migration:
    migration = made()
    for event in (MigrationStarted(STOP - 10**9), *events):
        migration.apply(event)
    return migration


def blackout(events: Iterable[Event]) -> Blackout:
    found = migrated(*events).blackout
    assert found is not None
    return found


def counted(found: Blackout) -> dict[str, float]:
    return {str(kind): ns / MS for kind, ns in found.counted.items() if ns}


def test_parts_of_both_sides_add_up_to_the_blackout() -> None:
    found = blackout((*SOURCE, *DESTINATION, *END))
    assert (found.duration_ns, found.outside) == (70 * MS, True)
    assert counted(found) == COUNTED
    assert found.unexplained_ns == 0


def test_a_part_has_its_own_length_too() -> None:
    found = blackout((*SOURCE, *DESTINATION, *END))
    rows = [
        (str(each.kind), each.device, (each.start_ns or 0) / MS, each.duration_ns / MS, (each.counted_ns or 0) / MS)
        for each in found.parts
    ]
    assert rows == [
        ("stop", "", 0, 2, 2),
        ("prepare", "", 2, 1, 1),
        ("sync", "", 3, 3, 3),
        ("receive", "", 5, 41, 0),  # all of it while the source saves
        ("ram", "", 6, 34, 34),
        ("states", "", 40, 1, 1),
        ("save", TIMER, 41, 1, 1),
        ("save", NETWORK, 42, 8, 8),
        ("load", TIMER, 46, 1, 0),
        ("wire", "", 50, 11, 4),  # without the load of the network card
        ("load", NETWORK, 53, 7, 7),
        ("start", "", 61, 9, 9),
    ]
    assert [each.side for each in found.parts if each.kind is PartKind.WIRE] == [None]


def test_what_nothing_explains_is_the_rest() -> None:
    """The source saves nothing for 5 ms between two devices, and an event of the destination is missing."""
    source = [event for event in SOURCE if event not in (SOURCE[7], SOURCE[8])]
    source[-1:-1] = [saved(41, 42, TIMER), saved(47, 50, NETWORK)]
    destination = [event for event in DESTINATION if event != reached(61, "dst-precopy-loadvm-completed")]
    found = blackout((*source, *destination, *END))
    assert counted(found) == {**{name: ms for name, ms in COUNTED.items() if name != "start"}, "save": 4, "wire": 3}
    assert found.unexplained_ns == (5 + 10) * MS


def test_ram_that_still_arrives_after_the_last_save_is_received() -> None:
    destination = (loaded(5, 56, "ram", iterable=True), loaded(56, 60, NETWORK), *DESTINATION[3:])
    assert counted(blackout((*SOURCE, *destination, *END))) == {**COUNTED, "receive": 6, "load": 4, "wire": 1}


def test_without_its_destination_the_handover_is_one_part_of_qemus_own_downtime() -> None:
    found = blackout((*SOURCE, *END))
    assert (found.duration_ns, found.outside) == (71 * MS + MS // 10, False)
    assert counted(found) == {"stop": 2.1, "prepare": 1, "sync": 3, "ram": 34, "states": 1, "save": 9, "handover": 21}
    assert found.unexplained_ns == 0


def test_a_destination_that_never_ran_leaves_qemus_own_downtime() -> None:
    """It keeps the guest stopped: the manager may start it hours later."""
    stopped = [GuestArrived(at(70), running=False) if isinstance(each, GuestArrived) else each for each in DESTINATION]
    found = blackout((*SOURCE, *stopped, *END))
    assert (found.duration_ns, found.outside) == (71 * MS + MS // 10, False)
    assert counted(found) == {**COUNTED, "stop": 2.1, "start": 9.2}
    assert found.unexplained_ns == round(0.8 * MS)


def test_on_the_destination_s_host_alone_parts_have_lengths_and_no_place() -> None:
    migration = Migration("vm", made().level, "m1", at(70), incoming=True)
    for event in (*DESTINATION, COMPLETED):
        migration.apply(event)
    found = migration.blackout
    assert found is not None
    assert (found.duration_ns, found.unexplained_ns, found.counted) == (None, None, {})
    lengths = [(str(each.kind), each.device, each.start_ns, each.duration_ns / MS) for each in found.parts]
    assert lengths == [
        ("receive", "", None, 41),
        ("load", TIMER, None, 1),
        ("load", NETWORK, None, 7),
        ("start", "", None, 9),
    ]
    assert [each.kind for each in found.slowest(2)] == [PartKind.RECEIVE, PartKind.START]


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_switchover_that_came_to_nothing_has_no_parts(state: str) -> None:
    """A device could not be loaded, or the migration was cancelled: the guest runs on the source again."""
    tried = (*SOURCE, *DESTINATION[:1], reached(48, "dst-precopy-loadvm-completed"))
    for events in ((StateChanged(at(80), state),), (GuestContinued(at(81)), StateChanged(at(82), state))):
        assert migrated(*tried, *events).blackout is None


def test_the_last_switchover_of_several_counts() -> None:
    earlier = [saved(-900, -800, "ram", iterable=True), loaded(-890, -700, NETWORK), GuestContinued(at(-600))]
    assert counted(blackout((*earlier, *SOURCE, *DESTINATION, *END))) == COUNTED


def test_what_was_loaded_before_the_stop_is_no_part() -> None:
    """Some devices are loaded in the setup."""
    found = blackout((*SOURCE[:3], loaded(-500, -400, "virtio-mem"), *SOURCE[3:], *DESTINATION, *END))
    assert "virtio-mem" not in [each.device for each in found.parts]
    assert counted(found) == COUNTED


def test_without_the_checkpoint_of_the_stop_it_goes_on_to_the_first_save() -> None:
    source = [event for event in SOURCE if event != reached(2, "src-vm-stopped")]
    found = counted(blackout((*source, *DESTINATION, *END)))
    assert found == {**{name: ms for name, ms in COUNTED.items() if name != "prepare"}, "stop": 3}


def test_without_the_end_of_the_sync_it_is_part_of_ram() -> None:
    source = [event for event in SOURCE if event != reached(6, "bitmap-synced")]
    found = counted(blackout((*source, *DESTINATION, *END)))
    assert found == {**{name: ms for name, ms in COUNTED.items() if name != "sync"}, "ram": 37}


def test_before_postcopy_the_destination_starts_at_another_checkpoint() -> None:
    """RAM follows later: what is saved and loaded of it after the guest has started is no part."""
    source = [event for event in SOURCE if event != saved(3, 40, "ram", iterable=True)]
    destination = (
        loaded(46, 47, TIMER),
        loaded(53, 60, NETWORK),
        reached(60, "dst-precopy-loadvm-completed"),
        reached(61, "dst-postcopy-bh-enter"),
        GuestArrived(at(70), running=True),
        reached(70, "dst-postcopy-bh-vm-started"),
        loaded(900, 950, "ram", iterable=True),
    )
    found = blackout((*source, reached(51, "src-downtime-end"), *destination, StateChanged(at(960), "completed")))
    assert counted(found) == {"stop": 2, "prepare": 38, "states": 1, "save": 9, "wire": 4, "load": 7, "start": 9}
    assert found.unexplained_ns == 0


def test_without_steps_ram_is_what_qemu_reports() -> None:
    report = {"status": "completed", "downtime": 70, "switchover": {"time": 34 * MS}}
    found = blackout((COMPLETED, FinalReport(at(90), report)))
    assert (counted(found), found.duration_ns, found.unexplained_ns) == ({"ram": 34}, 70 * MS, 36 * MS)
    assert found.parts[0].start_ns is None


def test_milliseconds_do_not_make_the_rest_negative() -> None:
    report = {"status": "completed", "downtime": 0, "switchover": {"time": 400_000}}
    found = blackout((COMPLETED, FinalReport(at(90), report)))
    assert (found.parts[0].duration_ns, counted(found), found.unexplained_ns) == (400_000, {}, 0)


def test_a_report_below_zero_is_none() -> None:
    """QEMU takes both as differences of its clock."""
    report = {"status": "completed", "downtime": -70, "switchover": {"time": 34 * MS}}
    assert blackout((COMPLETED, FinalReport(at(90), report))).duration_ns is None
    report = {"status": "completed", "downtime": 70, "switchover": {"time": -34 * MS}}
    assert migrated(COMPLETED, FinalReport(at(90), report)).blackout is None


def test_where_nothing_was_seen_there_is_nothing() -> None:
    assert migrated(COMPLETED, FinalReport(at(90), {"status": "completed", "downtime": 70})).blackout is None


def test_before_the_guest_has_left_there_is_nothing() -> None:
    assert migrated(*SOURCE).blackout is None


def test_the_slowest_come_first() -> None:
    slowest = blackout((*SOURCE, *DESTINATION, *END)).slowest()
    assert [(str(each.kind), each.device) for each in slowest] == [
        ("ram", ""),
        ("start", ""),
        ("save", NETWORK),
        ("load", NETWORK),
        ("wire", ""),
    ]


MOMENTS = st.floats(-20, 100).map(lambda ms: round(ms, 3))


CHECKPOINTS = [each.name for each in (*SOURCE, *DESTINATION, *END) if isinstance(each, CheckpointReached)]


@given(
    st.lists(st.tuples(MOMENTS, MOMENTS, st.booleans(), st.booleans()), max_size=12),
    st.lists(st.tuples(MOMENTS, st.sampled_from(CHECKPOINTS)), max_size=8),
    st.floats(0, 90).map(lambda ms: round(ms, 3)),
)
def test_whatever_comes_is_counted_once(
    steps: list[tuple[float, float, bool, bool]], checkpoints: list[tuple[float, str]], end: float
) -> None:
    events: list[Event] = [SOURCE[2]]
    events += [reached(ms, name) for ms, name in checkpoints]
    for number, (one, other, saving, iterable) in enumerate(steps):
        step = saved if saving else loaded
        name = "ram" if number % 3 == 0 else f"device {number}"
        events.append(step(min(one, other), max(one, other), name, iterable=iterable, instance=number))
    found = migrated(*events, GuestArrived(at(end), running=True), COMPLETED).blackout
    if found is None:
        return
    assert found.duration_ns == at(end) - STOP
    assert all(each.start_ns is not None and each.start_ns >= 0 for each in found.parts)
    assert all(0 <= (each.counted_ns or 0) <= each.duration_ns for each in found.parts)
    assert found.unexplained_ns is not None
    assert 0 <= found.unexplained_ns <= found.duration_ns


def logged(*events: Event) -> SwitchoverLog:
    log = SwitchoverLog()
    for event in events:
        log.take(event)
    return log


def test_kinds_are_numbered_in_their_order() -> None:
    assert [kind.value for kind in PartKind] == list(range(11))


def test_a_report_alone_goes_by_what_was_measured_best() -> None:
    outside = divided(SwitchoverLog(), 1_000, 5_000, 9_000, 500)
    assert outside is not None
    assert (outside.duration_ns, outside.outside) == (4_000, True)
    reported = divided(SwitchoverLog(), None, None, 9_000, 500)
    assert reported is not None
    assert (reported.duration_ns, reported.outside) == (9_000, False)


def test_a_destination_that_goes_on_keeps_what_it_has_loaded() -> None:
    """A source that runs its guest again forgets it."""
    going_on = GuestContinued(at(70))
    assert logged(loaded(1, 2, TIMER), going_on).loaded
    assert not logged(saved(1, 2, TIMER), loaded(1, 2, TIMER), going_on).loaded
    assert not logged(saved(1, 2, TIMER), going_on).saved


def test_where_the_begin_was_not_seen_no_stop_is_shown() -> None:
    found = divided(logged(reached(2, "src-vm-stopped"), saved(3, 4, TIMER)), None, None, None, None)
    assert found is not None
    assert PartKind.STOP not in {part.kind for part in found.parts}
    assert PartKind.SAVE in {part.kind for part in found.parts}


def test_what_comes_after_the_end_is_no_part() -> None:
    events = (*SOURCE, loaded(69, 69.5, TIMER), loaded(70, 71, NETWORK), loaded(75, 76, "late"))
    found = divided(logged(*events), at(0), at(70), None, None)
    assert found is not None
    assert [part.device for part in found.parts if part.kind is PartKind.LOAD] == [TIMER]


def test_only_a_device_may_take_no_time() -> None:
    events = (*SOURCE[:3], reached(0, "src-vm-stopped"), saved(3, 3, TIMER), saved(42, 50, NETWORK))
    found = divided(logged(*events), at(0), at(70), None, None)
    assert found is not None
    assert PartKind.STOP not in {part.kind for part in found.parts}
    assert TIMER in {part.device for part in found.parts}
