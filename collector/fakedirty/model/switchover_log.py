"""The steps of the switchover of one migration, as they were seen on the source and on a destination of this host."""

from __future__ import annotations

from dataclasses import dataclass, field

from .events import CheckpointReached, DeviceLoaded, DeviceSaved, Event, GuestContinued

_BEGIN = "src-downtime-start"
_END = "src-downtime-end"
_SYNCED = "bitmap-synced"


@dataclass(slots=True)
class SwitchoverLog:
    """What was seen since the source began to stop the guest.

    Attributes:
        saved: devices that the source has saved, in their order.
        loaded: devices that the destination has loaded, in their order.
    """

    saved: list[DeviceSaved] = field(default_factory=list)
    loaded: list[DeviceLoaded] = field(default_factory=list)
    _reached: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.saved or self.loaded)

    def take(self, event: Event) -> None:
        """Note a step. A switchover that begins, or a source that runs its guest again, ends what was noted before."""
        match event:
            case GuestContinued() if self.saved or not self.loaded:
                self._forget()
            case CheckpointReached():
                if event.name == _BEGIN:
                    self._forget()
                if event.name != _SYNCED or _BEGIN in self._reached:  # earlier ones are those of rounds
                    self._reached.setdefault(event.name, event.time_ns)
            case DeviceSaved():
                self.saved.append(event)
            case DeviceLoaded():
                self.loaded.append(event)

    def at(self, checkpoint: str, otherwise: int | None = None) -> int | None:
        """When a checkpoint was passed first; `otherwise` if it was not seen."""
        return self._reached.get(checkpoint, otherwise)

    @property
    def begin(self) -> int | None:
        """When the source began to stop the guest."""
        return self.at(_BEGIN)

    @property
    def downtime(self) -> tuple[int, int] | None:
        """What QEMU calls its downtime, from and to; None unless both were seen."""
        begin, end = self.at(_BEGIN), self.at(_END)
        return None if begin is None or end is None or end < begin else (begin, end)

    @property
    def saved_ns(self) -> int | None:
        """When the source had saved its last device."""
        return max((step.time_ns for step in self.saved), default=None)

    @property
    def received_ns(self) -> int | None:
        """When the destination had loaded all that it needs to run the guest."""
        return self.at("dst-postcopy-bh-enter", self.at("dst-precopy-loadvm-completed"))

    @property
    def started_ns(self) -> int | None:
        """When the destination had done what it does to run the guest."""
        return self.at("dst-postcopy-bh-vm-started", self.at("dst-precopy-bh-vm-started"))

    def _forget(self) -> None:
        self.saved.clear()
        self.loaded.clear()
        self._reached.clear()
