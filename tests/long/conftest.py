"""The long tests use what the integration tests share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))

from disks import small_disk

__all__ = ["small_disk"]
