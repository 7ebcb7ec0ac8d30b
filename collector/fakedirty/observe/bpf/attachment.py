"""The probes of one build of QEMU, and the processes that are observed by them.

If every QEMU of a host is observed, programs are compiled once for a build, and attached once to each executable of it.
They then run in all its processes, and find in a map which of these are observed. If one QEMU is observed, programs are
attached to that process alone, so other processes of the executable pay nothing.
"""

from __future__ import annotations

import ctypes
import secrets
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fakedirty.linux.descriptor_limit import demand_descriptors
from fakedirty.linux.uprobe import EVERY_PROCESS, attach, detach
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.decode import wire
from fakedirty.observe.host import headers
from fakedirty.observe.host.layered_files import inode, is_probed, runs_file_of
from fakedirty.observe.host.target import Target

from .attach_point import PlacedProbe
from .buffer_sizes import RING_PAGE, BufferSizes
from .destinations import Destinations
from .dispatcher import Dispatcher
from .feed import ProcessFeed
from .observed_processes import PROCESSES, ObservedProcesses
from .process_slots import ProcessSlots
from .program import Bpf

_OPENING = struct.Struct("<QHH")  # the beginning of struct event_header: time, kind and slot
_PID = wire.RunStateEvent.pid.offset  # in all events that a destination sends
_FROM_DESTINATIONS = {
    wire.EVENT_RUNSTATE: Channel.RUNSTATE,
    wire.EVENT_CHECKPOINT: Channel.SWITCHOVER,
    wire.EVENT_DEVICE_SAVED: Channel.SWITCHOVER,
    wire.EVENT_DEVICE_LOADED: Channel.SWITCHOVER,
}
_CHANNELS = {wire.EVENT_BATCH: Channel.PAGES, **_FROM_DESTINATIONS}
EVENTS, PAGE_RECORDS = "events", "page_records"  # ring buffers, by their names in the probe files
_SEED_BITS = 62  # of the page hash of levels stock and usdt


@dataclass(frozen=True, slots=True)
class Build:
    """What is compiled for the processes of a build. Processes with equal builds share one attachment.

    Attributes:
        files: files of ``probes/``, in the order of their texts.
        appended: C text after them: the programs of USDT locations.
        defines: macros of the level.
        pages: whether page records are wanted.
        sizes: of ring buffers and maps.
        kept: names of the maps whose entries belong to one migration; their keys are ``struct chunk_key``.
        steps: programs to which others go on, by their index in the map `steps`.
    """

    files: tuple[str, ...]
    appended: str
    defines: tuple[tuple[str, int], ...]
    pages: bool
    sizes: BufferSizes
    kept: tuple[str, ...]
    steps: tuple[str, ...] = ()


class Attachment:
    """The programs of one build in the kernel. Every method may be called from any thread."""

    def __init__(self, build: Build, dispatcher: Dispatcher, every_process: bool, destinations: Destinations) -> None:
        self._build = build
        self._dispatcher = dispatcher
        self._every_process = every_process
        self._destinations = destinations
        self._lock = threading.RLock()
        self._feeds: dict[int, ProcessFeed] = {}  # by slot; a feed has several slots if it follows destinations
        self._members: dict[int, int] = {}  # slot by process id, also of destinations that are followed
        # what is attached, by its scope: descriptors by program and file offset
        self._scopes: dict[object, dict[tuple[str, int], int]] = {}
        self._placed: dict[int, object] = {}  # scope by process id
        self._slots = ProcessSlots(PROCESSES)
        defines = {"PAGES": int(build.pages), "PROCESSES": PROCESSES, "SEED": secrets.randbits(_SEED_BITS)}
        defines |= {**build.sizes.defines(), **dict(build.defines)}
        self._bpf = Bpf(build.files, headers.find(), defines, build.appended)
        try:
            self._bpf.open_rings([EVENTS, PAGE_RECORDS] if build.pages else [EVENTS])
            self._observed = ObservedProcesses(self._bpf)
            for index, program in enumerate(build.steps):
                self._bpf.map("steps").insert(struct.pack("<I", index), struct.pack("<I", self._bpf.program(program)))
            dispatcher.add(self)
        except BaseException:
            self._bpf.close()
            raise

    @property
    def processes(self) -> int:
        """How many slots are in use."""
        return len(self._feeds)

    def admit(self, target: Target, placed: Sequence[PlacedProbe]) -> ProcessFeed:
        """Attach the probes that are not attached yet, and reserve a slot for a process.

        Raises:
            TargetError: no slot is free.
            BpfError: the kernel refused a probe.
            DescriptorLimitError: too few file descriptors would be left.
        """
        with self._lock:
            slot = self._admit(target, placed)
            feed = self._feeds[slot] = ProcessFeed(slot, self._build.sizes.page_ring * RING_PAGE)
        self._destinations.add(target.pid, feed)
        return feed

    def enter(self, target: Target, feed: ProcessFeed) -> None:
        """Let the programs count for a process that has been admitted, from now on.

        The kernel waits for all CPUs here, so several threads may do this at once, for a process each.
        """
        self._observed.enter(target, feed.slot)

    def follow(self, target: Target, placed: Sequence[PlacedProbe], feed: ProcessFeed) -> None:
        """Let a feed also have the run states and the switchover of another process: a destination of its guest."""
        if not self._every_process:  # else that process is observed anyway, or soon will be
            with self._lock:
                slot = self._admit(target, placed)
                self._feeds[slot] = feed
            try:
                self._observed.enter(target, slot)
            except BaseException:
                with self._lock:
                    del self._feeds[slot], self._members[target.pid]
                    self._detach(target.pid)
                raise
        self._destinations.add(target.pid, feed)

    def leave(self, feed: ProcessFeed, pids: Iterable[int]) -> None:
        """Stop the programs from counting for processes. Several threads may do this at once, as with :meth:`enter`."""
        for pid in pids:
            if (slot := self._slot(feed, pid)) is not None:
                self._observed.leave(pid, slot)

    def release(self, feed: ProcessFeed, pids: Iterable[int]) -> None:
        """Free what is kept of processes that have left. Probes are detached with the last process of an executable."""
        with self._lock:
            for pid in pids:
                self._destinations.remove(pid, feed)
                if pid in self._members and self._slot(feed, pid) is None:  # another process has this id by now
                    continue
                self._members.pop(pid, None)
                self._detach(pid)
            self.forget(feed, None)
            for slot in [slot for slot, each in self._feeds.items() if each is feed]:
                del self._feeds[slot]  # another process may have this slot from now on

    def probes(self, pids: Iterable[int]) -> int:
        """The number of probes that are attached for these processes, also of those that they share with others."""
        with self._lock:
            scopes = {scope for pid in pids if (scope := self._placed.get(pid)) is not None}
            return sum(len(self._scopes[scope]) for scope in scopes)

    def lost(self, feed: ProcessFeed, pids: Iterable[int]) -> list[int]:
        """How many events of these processes were lost so far, by the index in LOST_PLACES."""
        total = [0] * len(wire.LOST_PLACES)
        total[wire.LOST_LATE] = feed.late
        for pid in pids:
            slot = self._slot(feed, pid)
            if slot is not None and (lost := self._observed.lost(pid, slot)) is not None:
                total = [sum(pair) for pair in zip(total, lost, strict=True)]
        return total

    def forget(self, feed: ProcessFeed, before: int | None) -> None:
        """Delete what the kernel keeps of migrations before the generation `before`; None: of all migrations."""
        for name in self._build.kept:
            kept = self._bpf.map(name)
            with self._lock:
                for raw in kept.keys(ctypes.sizeof(wire.ChunkKey)):
                    key = wire.ChunkKey.from_buffer_copy(raw)
                    if key.slot == feed.slot and (before is None or key.is_before(before)):
                        kept.delete(raw)

    def fileno(self) -> int:
        """A descriptor that is readable while events wait."""
        return self._bpf.fileno()

    def drain(self) -> None:
        """Take all events that wait, and put each into the feed of its process."""
        taken = self._bpf.take()
        parts: dict[ProcessFeed, list[TraceRecord]] = {}
        # Each event is copied: as a view it would keep all events of this reading in memory, while one reader is late.
        for raw in taken.get(PAGE_RECORDS, ()):
            time_ns, kind, slot = _OPENING.unpack_from(raw)
            if (feed := self._feeds.get(slot)) is not None:
                record = TraceRecord(time_ns, _CHANNELS[kind], memoryview(bytes(raw)))
                parts.setdefault(feed, []).append(record)
        for raw in taken[EVENTS]:
            time_ns, kind, slot = _OPENING.unpack_from(raw)
            record = TraceRecord(time_ns, _CHANNELS.get(kind, Channel.EVENT), bytes(raw))
            if kind in _FROM_DESTINATIONS:
                (pid,) = struct.unpack_from("<I", raw, _PID)
                for feed in self._destinations.of(pid):
                    parts.setdefault(feed, []).append(record)
            elif (feed := self._feeds.get(slot)) is not None:
                parts.setdefault(feed, []).append(record)
        for feed, records in parts.items():
            feed.put(records)

    def close(self) -> None:
        """Detach and unload everything."""
        self._dispatcher.remove(self)
        with self._lock:
            detach(descriptor for scope in self._scopes.values() for descriptor in scope.values())
            self._scopes.clear()
            self._observed.close()
            self._bpf.close()

    def _slot(self, feed: ProcessFeed, pid: int) -> int | None:
        """The slot of a process, or None if it does not belong to the feed: another process has its id by now."""
        slot = self._members.get(pid)
        return slot if slot is not None and self._feeds.get(slot) is feed else None

    def _admit(self, target: Target, placed: Sequence[PlacedProbe]) -> int:
        """Attach the probes to a process, and find a free slot for it."""
        slot = self._slots.free(self._feeds, target)
        self._attach(target, placed)
        self._members[target.pid] = slot
        return slot

    def _detach(self, pid: int) -> None:
        """Forget that a process uses its probes, and detach them if no other process does."""
        scope = self._placed.pop(pid, None)
        if scope is not None and scope not in self._placed.values():
            detach(self._scopes.pop(scope).values())

    def _attach(self, target: Target, placed: Sequence[PlacedProbe]) -> None:
        """Attach probes in their order. If one fails, those that were attached before it are detached."""
        scope = self._scope(target, placed)
        pid = EVERY_PROCESS if self._every_process else target.pid
        attached = self._scopes.setdefault(scope, {})
        missing = [each for each in placed if (each.program, each.point.offset) not in attached]
        done: list[tuple[str, int]] = []
        try:
            if missing:
                demand_descriptors(2 * len(missing), f"attaching to {target.program}")
            for each in missing:
                place = each.program, each.point.offset
                program = self._bpf.program(each.program)
                attached[place] = attach(program, target.exe, each.point.offset, pid, each.semaphore)
                done.append(place)
        except BaseException:
            detach(attached.pop(place) for place in done)
            if not attached:
                self._scopes.pop(scope, None)
            raise
        self._placed[target.pid] = scope

    def _scope(self, target: Target, placed: Sequence[PlacedProbe]) -> object:
        """What the probes of a process are attached to: the process, or the file that it runs.

        One file may have several inodes: then its processes share the scope of the first one.
        """
        if not self._every_process:
            return target.pid
        scope = inode(target.exe)
        if scope not in self._scopes and placed and is_probed(target, placed[0].point.address):
            run = {other: pid for pid, other in self._placed.items() if (target.proc / str(pid) / "exe").exists()}
            for other, pid in run.items():
                if runs_file_of(target, pid):
                    return other
        return scope
