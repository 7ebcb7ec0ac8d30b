"""Every QEMU of the host, each with its observation, from the moment it is found until it ends."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from fakedirty.log_levels import NOTICE
from fakedirty.observe.bpf.attachments import Attachments
from fakedirty.observe.fleet import Fleet
from fakedirty.observe.host.target import Target
from fakedirty.observe.observer import Observer

from .config import Observe
from .observation import LevelReasons, Observation, make_observation
from .outputs import Outputs

MONITOR_READERS = 4  # threads: monitors that are read at the same time

_log = logging.getLogger(__name__)


class ObservedQemus:
    """Observes as `fleet` finds QEMUs, with probes that they share."""

    def __init__(self, observe: Observe, outputs: Outputs) -> None:
        self._observe = observe
        self._outputs = outputs
        self._reasons = LevelReasons(named=True)
        self._observations: dict[Target, Observation] = {}
        self._readers = ThreadPoolExecutor(MONITOR_READERS, thread_name_prefix="monitor")
        self._attachments = Attachments(every_process=True, find=lambda: self.fleet.found)
        self.fleet = Fleet(self._make, attached=self._attached, parted=self._removed)

    def close(self) -> None:
        """Let all QEMUs go. What has happened until now is still reported to the outputs."""
        self._readers.shutdown(cancel_futures=True)
        self.fleet.close()
        self._attachments.close()

    def _make(self, target: Target) -> Observer:
        found = make_observation(target, self._observe, self._outputs, self._reasons, attachments=self._attachments)
        self._observations[target] = found
        return found.observer

    def _attached(self, target: Target) -> None:
        found = self._observations[target]
        self._outputs.add_qemu(found.trace)
        _log.log(NOTICE, "attached: %s pid %d at level %s", target.vm, target.pid, found.trace.level)
        with suppress(RuntimeError):  # the service ends, and needs no facts any more
            self._readers.submit(self._read_monitor, found)

    def _read_monitor(self, found: Observation) -> None:
        try:
            self._outputs.set_qemu_version(found.trace.target, found.read_monitor())
        except Exception:  # noqa: BLE001 - the other facts about it are enough
            _log.exception("%s: its monitor could not be read", found.trace.target.vm)

    def _removed(self, target: Target) -> None:
        self._observations.pop(target, None)
        self._outputs.remove_qemu(target)
