"""Tracers of the levels that attach probes: they compile and attach them, and read the records.

Each level describes its probes in a :class:`ProbePlan`. Run states of the guest, and at some levels the steps of the
switchover, come from the same compiled text and by the same ring buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.model.enums import Level
from fakedirty.model.migration import ENDED
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.decode import wire
from fakedirty.observe.host import levels
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.executable_plans import once_loaded
from fakedirty.observe.host.target import Target
from fakedirty.qmp import final_report
from fakedirty.qmp.monitor import Address

from . import switchover_probes
from .attach_point import PlacedProbe
from .attachment import Attachment, Build
from .attachments import Attachments
from .buffer_sizes import BufferSizes
from .feed import ProcessFeed
from .program import now_ns
from .runstate_probes import RunStates, peer, run_state_plan, waits

RINGS, RUNSTATE = "rings.c", "runstate.c"  # probe files of every level, before and after its own

# of records with the same time, pages come before the round that they belong to, and a QEMU before its run states
_RANKS = {Channel.PAGES: 0, Channel.PEER: 1}
_LAST = 2


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """The probes of a level on one executable. They are the same for every process of it.

    Attributes:
        files: files of ``probes/``, in the order of their texts.
        placed: programs and where each is attached, in the order of attaching.
        facts: what the reader of the level must know.
        defines: macros for the compiler.
        kept: names of the maps whose entries belong to one migration.
        steps: programs to which others go on, in the order of the map `steps`.
    """

    files: tuple[str, ...]
    placed: tuple[PlacedProbe, ...]
    facts: Mapping[str, object]
    defines: tuple[tuple[str, int], ...] = ()
    kept: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


class Probes(Protocol):
    """The probes of a level for one process."""

    @property
    def options(self) -> object:
        """What the plan depends on beside the executable: a value with equality and a hash."""

    def plan(self, binary: Binary, memory: ProcessMemory) -> ProbePlan:
        """The plan for an executable, which has all that the level needs."""

    def facts(self) -> Mapping[str, object]:
        """Facts of this process, for the reader of the level."""


class ProbeTracer:
    """The tracer of one QEMU by probes, which it may share with other processes of its executable."""

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
        self._switchover: tuple[PlacedProbe, ...] = ()
        self._peers: list[TraceRecord] = []
        self._lost = [0] * len(wire.LOST_PLACES)
        self._run_states = RunStates(target, attachments.plans, self._follow, attachments.find)

    @property
    def probes(self) -> int:
        """The number of probes that are attached to this QEMU and to destinations of its guest."""
        return 0 if self._attachment is None else self._attachment.probes(self._followed)

    def attach(self) -> Mapping[str, object]:
        """Compile and attach the probes, as far as this was not done for another process.

        Returns:
            Facts for the reader of the level.

        Raises:
            TargetError: the executable lacks what the level needs, or no process of its build fits any more.
            MissingError: this host lacks something that the level needs.
            BpfError: the compiler or the kernel refused a probe.
        """
        target, plans = self._target, self._attachments.plans
        before = now_ns()  # the record of a QEMU must come before its run states
        plan = once_loaded(target, lambda: plans.of(target, (self._level, self._probes.options), self._plan))
        run_states = run_state_plan(target, plans)
        if self._level in switchover_probes.LEVELS and run_states:  # without them nobody knows whose switchover it is
            self._switchover = switchover_probes.placed(target, plans)
        placed = [*([run_states.placed] if run_states else []), *self._switchover, *plan.placed]
        appended = "".join(each.text for each in (*self._switchover, *plan.placed))
        files = (RINGS, *plan.files, RUNSTATE, *([switchover_probes.FILE] if self._switchover else []))
        build = Build(files, appended, plan.defines, self._pages, self._sizes, plan.kept, plan.steps)
        facts = {**plan.facts, **self._probes.facts()}
        if run_states:
            waiting = target.incoming and waits(target, self._monitors)
            self._peers.append(peer(before, target, "source", run_states, waiting=waiting))
        self._attachment, self._feed = self._attachments.observe(target, build, placed)
        return facts

    def listen(self, ready: Callable[[], None]) -> bool:
        """The thread that reads the ring buffers calls `ready`."""
        assert self._feed is not None
        self._feed.ready = ready
        ready()
        return True

    def poll(self, timeout: float) -> list[TraceRecord]:
        """Records since the last call: first the losses, then all others by time.

        Losses are read after the events and returned before them. So what was lost before an event counts for the round
        of that event.
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
        """QEMU's final report of a migration, by QMP."""
        return final_report.read(self._monitors, state)

    def close(self) -> None:
        """Detach the probes that no other process uses."""
        if self._attachment is not None and self._feed is not None:
            self._attachments.release(self._attachment, self._feed, self._followed)
        self._attachment = self._feed = None

    def _plan(self, binary: Binary, memory: ProcessMemory) -> ProbePlan:
        levels.demand(self._target, self._level, binary)
        return self._probes.plan(binary, memory)

    def _follow(self, target: Target, run_states: PlacedProbe) -> None:
        assert self._attachment is not None
        assert self._feed is not None
        loads: list[PlacedProbe] = []
        if self._switchover:
            found = switchover_probes.placed(target, self._attachments.plans)
            loads = switchover_probes.of_destination(found, self._switchover)
        self._attachment.follow(target, [run_states, *loads], self._feed)
        self._followed.append(target.pid)

    def _forget(self, records: Sequence[TraceRecord]) -> None:
        """Free what the kernel keeps of migrations that are over: when one has ended, or the next has begun."""
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
        """The counters of lost events, if any of them has changed."""
        assert self._attachment is not None
        assert self._feed is not None
        now = self._attachment.lost(self._feed, self._followed)
        if now == self._lost:
            return []
        self._lost = now
        return [TraceRecord(now_ns(), Channel.LOST, wire.pack_losses(now))]
