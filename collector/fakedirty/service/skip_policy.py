"""The policy that switches skip off where it costs more than it saves, as for guests that write only new content.

It does so at most once in a migration: somebody who switches skip on again has a reason.
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
    """Decides for all QEMUs.

    Args:
        set_mode: Sets the mode of a QEMU.
        rounds: How many of the last rounds are weighed.
        hash_seconds: Seconds of hashing in these rounds below which nothing is switched off.
    """

    def __init__(self, set_mode: SetMode, rounds: int, hash_seconds: float) -> None:
        self.decisions = 0
        self._set_mode = set_mode
        self._rounds = rounds
        self._hash_seconds = hash_seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="policy")  # the observing threads do not wait for QMP

    def sink_for(self, target: Target) -> VmSkipPolicy:
        """The sink for one QEMU."""
        return VmSkipPolicy(self, target)

    def consider(self, target: Target, migration: Migration) -> bool:
        """Switch skip off if it costs more than it saves; whether that was decided."""
        found = economy(migration.rounds, migration.channels, self._rounds)
        if found is None or found.hash_seconds is None or found.pays or found.hash_seconds < self._hash_seconds:
            return False
        self.decisions += 1
        self._pool.submit(self._switch_off, target, found)
        return True

    def close(self) -> None:
        """Wait until all decisions are carried out."""
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
    """The sink that looks at each round of one QEMU when it has ended."""

    def __init__(self, policy: Policy, target: Target) -> None:
        self._policy = policy
        self._target = target
        self._decided = False

    def started(self, migration: Migration) -> None:
        """Nothing is decided about a new migration yet; a destination decides nothing."""
        self._decided = migration.incoming

    def changed(self, migration: Migration, event: Event) -> None:
        """Decide after a round, unless that was done in this migration."""
        if isinstance(event, RoundEnded) and not self._decided:
            self._decided = self._policy.consider(self._target, migration)

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Ignore single pages."""

    def ended(self, migration: Migration) -> None:
        """Leave the mode as it is."""
