"""The long tests use what the integration tests share."""

from disks import small_disk

__all__ = ["small_disk"]
