"""The levels that attach probes: what is compiled, where it goes, and the records that come of it.

A level states what it wants in a :class:`ProbePlan`. The run states of the guest come from the same programs and the
same ring buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fakedirty.model.enums import Level
from fakedirty.model.migration import ENDED
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.decode import wire
from fakedirty.observe.host import levels
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.target import Target
from fakedirty.qmp import final_report
from fakedirty.qmp.monitor import Address

from .attach_point import PlacedProbe
from .attachment import Attachment, Build
from .attachments import Attachments
from .buffer_sizes import BufferSizes
from .feed import ProcessFeed
from .probe_plans import once_loaded
from .process_memory import ProcessMemory
from .program import now_ns
from .runstate_probes import RunStates, peer, run_state_plan, waits

_RINGS, _RUNSTATE = "rings.c", "runstate.c"

# of one time, pages come before the round that they belong to, and who is followed before its states
_RANKS = {Channel.PAGES: 0, Channel.PEER: 1}
_LAST = 2


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What holds for every process of an executable.

    Files of ``probes/`` with what they are compiled with, their programs in the order of attaching, and the facts that
    a reader wants to know. `kept`: the maps in which the programs keep what belongs to one migration. `steps`: programs
    that others go on to, in the order of the map `steps`.
    """

    files: tuple[str, ...]
    placed: tuple[PlacedProbe, ...]
    facts: Mapping[str, object]
    defines: tuple[tuple[str, int], ...] = ()
    kept: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


class Probes(Protocol):
    """What a level attaches."""

    @property
    def options(self) -> object:
        """What a plan depends on beside the executable."""

    def plan(self, binary: Binary, memory: ProcessMemory) -> ProbePlan:
        """For an executable that is known to have all that the level needs."""

    def facts(self) -> Mapping[str, object]:
        """Facts of the one process."""


class ProbeTracer:
    """Probes on one QEMU, its own ones or those that it shares with others."""

    def __init__(
        self,
        target: Target,
        level: Level,
        probes: Probes,
        monitors: Sequence[Address] = (),
        *,
        attachments: Attachments,
        pages: bool,
        sizes: BufferSizes,
    ) -> None:
        self._target = target
        self._level = level
        self._probes = probes
        self._monitors = monitors
        self._attachments = attachments
        self._pages = pages
        self._sizes = sizes
        self._attachment: Attachment | None = None
        self._feed: ProcessFeed | None = None
        self._followed = [target.pid]
        self._peers: list[TraceRecord] = []
        self._lost = [0] * len(wire.LOST_PLACES)
        self._run_states = RunStates(target, attachments.plans, self._follow, attachments.find)

    @property
    def probes(self) -> int:
        """On this QEMU, and on destinations of its guest."""
        return 0 if self._attachment is None else self._attachment.probes(self._followed)

    def attach(self) -> Mapping[str, object]:
        """Compile, choose the instructions, attach: as far as it has not been done for another process."""
        target, plans = self._target, self._attachments.plans
        before = now_ns()  # a peer is told before its states
        plan = once_loaded(target, lambda: plans.of(target, (self._level, self._probes.options), self._plan))
        run_states = run_state_plan(target, plans)
        placed = [*([run_states.placed] if run_states else []), *plan.placed]
        appended = "".join(each.text for each in plan.placed)
        files = (_RINGS, *plan.files, _RUNSTATE)
        build = Build(files, appended, plan.defines, self._pages, self._sizes, plan.kept, plan.steps)
        facts = {**plan.facts, **self._probes.facts()}
        if run_states:
            waiting = target.incoming and waits(target, self._monitors)
            self._peers.append(peer(before, target, "source", run_states, waiting=waiting))
        self._attachment, self._feed = self._attachments.observe(target, build, placed)
        return facts

    def listen(self, ready: Callable[[], None]) -> bool:
        """Something came is said by the thread that reads."""
        assert self._feed is not None
        self._feed.ready = ready
        ready()
        return True

    def poll(self, timeout: float) -> list[TraceRecord]:
        """Losses first, so that the round they fall into carries them; then all else by time.

        They are read after the events, so that whatever was lost before one that is taken now is reported before it,
        and at once: what is lost later is a later round's.
        """
        assert self._attachment is not None
        assert self._feed is not None
        if timeout <= 0:
            self._attachments.dispatcher.flush()
        records = self._feed.take(timeout)
        losses = self._losses()
        self._forget(records)
        peers, self._peers = self._peers, []
        peers += self._run_states.search(any(record.channel is Channel.EVENT for record in records))
        records += peers
        records.sort(key=lambda record: (record.time_ns, _RANKS.get(record.channel, _LAST)))
        return [*losses, *records]

    def report(self, state: str) -> Mapping[str, object]:
        """By QMP."""
        return final_report.read(self._monitors, state)

    def close(self) -> None:
        """Detach."""
        if self._attachment is not None and self._feed is not None:
            self._attachments.release(self._attachment, self._feed, self._followed)
        self._attachment = self._feed = None

    def _plan(self, binary: Binary, memory: ProcessMemory) -> ProbePlan:
        levels.demand(self._target, self._level, binary)
        return self._probes.plan(binary, memory)

    def _follow(self, target: Target, placed: PlacedProbe) -> None:
        assert self._attachment is not None
        assert self._feed is not None
        self._attachment.follow(target, [placed], self._feed)
        self._followed.append(target.pid)

    def _forget(self, records: Sequence[TraceRecord]) -> None:
        """Once a migration is over, or the next has begun, what was sent in it is of no use."""
        assert self._attachment is not None
        assert self._feed is not None
        over = 0
        for record in records:
            if record.channel is Channel.EVENT:
                event = wire.decode(record.data)
                if not isinstance(event, wire.StockEvent):
                    continue
                if event.header.kind == wire.EVENT_STOCK_STARTED:
                    over = event.counts.generation
                elif event.header.kind == wire.EVENT_STOCK_STOPPED or event.name.decode() in ENDED:
                    over = event.counts.generation + 1
        if over:
            self._attachment.forget(self._feed, over)

    def _losses(self) -> list[TraceRecord]:
        """The counters of lost events, if any is not what it was."""
        assert self._attachment is not None
        assert self._feed is not None
        now = self._attachment.lost(self._feed, self._followed)
        if now == self._lost:
            return []
        self._lost = now
        return [TraceRecord(now_ns(), Channel.LOST, wire.pack_losses(now))]
