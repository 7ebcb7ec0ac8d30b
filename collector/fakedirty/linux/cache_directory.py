"""The directory of the user for builds that can be made again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory of all builds: ``$XDG_CACHE_HOME/fakedirty``, or the same below ``~/.cache``."""
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fakedirty"
