"""Skip is switched off by the service where it costs more than it saves: a guest that rewrites everything anew.

At most once in a migration: who switches it on again means it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fakedirty.errors import FakedirtyError
from fakedirty.model.enums import Mode
from fakedirty.model.events import Event, RoundEnded
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch
from fakedirty.model.skip_economy import SkipEconomy, economy
from fakedirty.observe.host.target import Target
from fakedirty.qmp.mode import State

_log = logging.getLogger(__name__)

SetMode = Callable[[Target, Mode, str | None], State]


class Policy:
    """Decides for all QEMUs: `set_mode` does it, once hashing has taken `hash_seconds` in the last `rounds`."""

    def __init__(self, set_mode: SetMode, rounds: int, hash_seconds: float) -> None:
        self.decisions = 0
        self._set_mode = set_mode
        self._rounds = rounds
        self._hash_seconds = hash_seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="policy")  # who observes does not wait for QMP

    def of(self, target: Target) -> VmSkipPolicy:
        """The sink for what is observed of `target`."""
        return VmSkipPolicy(self, target)

    def consider(self, target: Target, migration: Migration) -> bool:
        """Whether skip is switched off now."""
        found = economy(migration.rounds, migration.channels, self._rounds)
        if found is None or found.hash_seconds is None or found.pays or found.hash_seconds < self._hash_seconds:
            return False
        self.decisions += 1
        self._pool.submit(self._switch_off, target, found)
        return True

    def close(self) -> None:
        """What was decided is done."""
        self._pool.shutdown()

    def _switch_off(self, target: Target, found: SkipEconomy) -> None:
        why = (
            f"hashing took {found.hash_seconds:.2f} s in the last {found.rounds} rounds and saved "
            f"{found.saved_bytes / 1e6:.1f} MB, which are {found.saved_seconds:.2f} s at the "
            f"{found.link_rate / 1e6:.0f} MB/s of the fastest round"
        )
        try:
            self._set_mode(target, Mode.OFF, None)
        except FakedirtyError as error:
            _log.error("%s (pid %d): skip should be off, as %s, but cannot: %s", target.vm, target.pid, why, error)
            return
        _log.warning("%s (pid %d): skip is switched off: %s", target.vm, target.pid, why)


class VmSkipPolicy:
    """Looks at each round of one QEMU as it ends."""

    def __init__(self, policy: Policy, target: Target) -> None:
        self._policy = policy
        self._target = target
        self._decided = False

    def started(self, migration: Migration) -> None:
        """Nothing is decided of it."""
        self._decided = migration.incoming

    def changed(self, migration: Migration, event: Event) -> None:
        """Decide."""
        if isinstance(event, RoundEnded) and not self._decided:
            self._decided = self._policy.consider(self._target, migration)

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing."""

    def ended(self, migration: Migration) -> None:
        """Nothing: the mode stays as it was set."""
