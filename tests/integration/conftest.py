"""Fixtures that several integration tests need."""

from disks import small_disk

__all__ = ["small_disk"]
