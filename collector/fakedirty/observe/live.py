"""The trace of a running QEMU: the tracer of its level, and its process, whose end is a record."""

from __future__ import annotations

import json
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fakedirty.errors import QmpError, TargetError, UsageError
from fakedirty.model.enums import Level
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.bpf.attachments import Attachments
from fakedirty.observe.bpf.buffer_sizes import DEFAULT, BufferSizes
from fakedirty.observe.bpf.patched_probes import PatchedProbes
from fakedirty.observe.bpf.stock_probes import StockProbes
from fakedirty.observe.bpf.tracer import Probes, ProbeTracer
from fakedirty.observe.host.migration_capabilities import capabilities
from fakedirty.observe.host.monitor_sharing import MonitorSharing
from fakedirty.observe.host.target import Target
from fakedirty.qmp import dirty_limit, final_report
from fakedirty.qmp.mode import read_parameters
from fakedirty.qmp.monitor import Address, Monitor
from fakedirty.qmp.turn import in_turns
from fakedirty.qmp.validation import parsing_answers

from .decode import multifd
from .decode.interfaces import Tracer
from .decode.return_path import OPENS, RETURN_PATH
from .decode.vcpu_rates import COMMAND
from .qmp_poller import QmpPoller

LIMITS = ("downtime-limit", "avail-switchover-bandwidth", *multifd.PARAMETERS)  # of query-migrate-parameters


def read_limits(qmp: Monitor) -> Mapping[str, object]:
    """The parameters of a QEMU that limit a migration, those of its channels, and what it measures of its vCPUs.

    Also whether there is a return path.
    """
    parameters = read_parameters(qmp)
    with parsing_answers(qmp.path):
        on = capabilities(qmp)
    limits = {name: parameters[name] for name in LIMITS if name in parameters}
    limits |= {multifd.MULTIFD: multifd.MULTIFD in on, RETURN_PATH: not OPENS.isdisjoint(on)}
    return limits | ({COMMAND: qmp.execute(COMMAND)} if dirty_limit.CAPABILITY in on else {})


class LiveTrace:
    """The trace of a running QEMU.

    Args:
        target: the QEMU.
        level: the level at which it is observed.
        pages: whether page records are wanted.
        monitor: the only monitor to use; None: those of its command line.
        sizes: of ring buffers and maps.
        sample: one page of so many is hashed, at levels stock and usdt.
        hold: keep the connection to a monitor, at level qmp.
        attachments: probes that are shared with other QEMUs; None: its own.
        clock: returns the time in ns by CLOCK_MONOTONIC.

    Raises:
        UsageError: the level does not support what is wanted.
    """

    def __init__(
        self,
        target: Target,
        level: Level,
        *,
        pages: bool = False,
        monitor: Address | Path | None = None,
        sizes: BufferSizes = DEFAULT,
        sample: int = 1,
        hold: bool = False,
        attachments: Attachments | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if pages and level is Level.QMP:
            raise UsageError(f"level {level} sees no page records: leave --pages out, or choose another level")
        if sample > 1 and level not in (Level.STOCK, Level.USDT):
            raise UsageError(f"level {level} hashes nothing, so there is nothing to sample: leave --sample out")
        self._target = target
        self._level = level
        self._clock = clock
        self._process: int | None = None
        self._watched = False
        self._answers: queue.SimpleQueue[TraceRecord] = queue.SimpleQueue()
        self._reading: dict[str, threading.Thread] = {}  # by what is read
        if isinstance(monitor, Path):
            monitor = target.at(monitor)
        self._monitors = monitors = [monitor] if monitor else [*target.monitors]
        self._attachments = attachments or Attachments()
        self._own = None if attachments else self._attachments
        self._tracer: Tracer
        probes: Probes
        match level:
            case Level.QMP:
                staying = MonitorSharing(monitors, target.monitors, hold=hold)
                self._tracer = QmpPoller(monitors, clock, staying=staying, may_receive=target.incoming)
                return
            case Level.PATCHED:
                probes = PatchedProbes(target)
            case _:
                probes = StockProbes(target, level, monitors, pages, sizes, sample)
        self._tracer = ProbeTracer(
            target, level, probes, monitors, attachments=self._attachments, pages=pages, sizes=sizes
        )

    @property
    def target(self) -> Target:
        """The QEMU."""
        return self._target

    @property
    def level(self) -> Level:
        """The level at which it is observed."""
        return self._level

    @property
    def monitors(self) -> tuple[Address, ...]:
        """The monitors that are used, the best first."""
        return tuple(self._monitors)

    def prefer(self, monitor: Address) -> None:
        """Use a monitor before the others, because it has answered."""
        self._monitors[:] = [monitor, *(each for each in self._monitors if each != monitor)]

    @property
    def qmp(self) -> Monitor | None:
        """The connection that the level keeps; None if it keeps none, or has just lost it."""
        return self._tracer.qmp if isinstance(self._tracer, QmpPoller) else None

    @property
    def probes(self) -> int:
        """The number of probes that are attached."""
        return self._tracer.probes

    def open(self) -> Subject:
        """Attach. Raises TargetError if the QEMU is gone, and the errors of its tracer."""
        target = self._target
        try:
            self._process = os.pidfd_open(target.pid)
        except OSError as error:
            raise TargetError(f"QEMU {target.pid} is gone: {error}") from error
        try:
            if not target.process.runs:  # the descriptor may be of another process, which has the id by now
                raise TargetError(f"QEMU {target.pid} is gone")
            facts = self._tracer.attach()
        except OSError as error:
            self.close()
            raise TargetError(f"QEMU {target.pid} cannot be observed: {error}") from error
        except BaseException:
            self.close()
            raise
        return Subject(target.vm, self._level, f"{target.pid} {target.start_ticks}", facts, target.uuid)

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        """The records since the last call. The last one of all has the channel GONE."""
        gone = self._gone()
        records = self._tracer.poll(0 if gone else timeout)
        while not self._answers.empty():
            records.append(self._answers.get())
        records.append(TraceRecord(self._clock(), Channel.GONE if gone else Channel.TICK))
        return records

    def listen(self, ready: Callable[[], None]) -> bool:
        """The kernel wakes the dispatcher, for events of probes and for the end of the process."""
        if not self._tracer.listen(ready):
            return False
        assert self._process is not None
        self._attachments.dispatcher.watch(self._process, ready)
        self._watched = True
        return True

    def report(self, state: str) -> TraceRecord:
        """QEMU's report, or an empty one."""
        info = self._tracer.report(state)
        return TraceRecord(self._clock(), Channel.REPORT, json.dumps(info).encode())

    def look_up_limits(self) -> None:
        """Read them in a thread of its own: another client may use the socket, or QEMU may not answer."""
        self._look_up("limits", Channel.LIMITS, self._read_limits)

    def look_up_arrival(self) -> None:
        """Read QEMU's report in a thread of its own, too."""
        self._look_up("arrival", Channel.ARRIVAL, lambda: final_report.read_arrival(self._monitors))

    def _look_up(self, what: str, channel: Channel, read: Callable[[], Mapping[str, object]]) -> None:
        def answer() -> None:
            try:
                found = read()
            except QmpError:  # then it is not known
                return
            self._answers.put(TraceRecord(self._clock(), channel, json.dumps(found).encode()))

        if (before := self._reading.get(what)) is None or not before.is_alive():
            self._reading[what] = threading.Thread(target=answer, name=f"answer {self._target.pid}", daemon=True)
            self._reading[what].start()

    def _read_limits(self) -> Mapping[str, object]:
        return read_limits(held) if (held := self.qmp) is not None else in_turns(self._monitors, read_limits)

    def close(self) -> None:
        """Detach."""
        if self._process is not None:
            if self._watched:
                self._attachments.dispatcher.unwatch(self._process)
            os.close(self._process)
            self._process = None
        self._tracer.close()
        if self._own is not None:
            self._own.close()

    def _gone(self) -> bool:
        assert self._process is not None
        ended = select.poll()  # select() takes no descriptor above 1023
        ended.register(self._process, select.POLLIN)
        return bool(ended.poll(0))
