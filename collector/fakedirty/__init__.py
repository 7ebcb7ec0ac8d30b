"""See, and skip, the fake dirty pages of QEMU live migration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fakedirty.campaign.frames import Campaign
    from fakedirty.record.load import Recording

__version__ = "0.1.0"


def load(path: str | Path) -> Recording:
    """Recorded migrations as pandas frames: `path` is the directory of one, or any directory above several."""
    from fakedirty.record.load import load as read  # pandas takes a second to import: only who reads waits for it

    return read(path)


def load_campaign(path: str | Path) -> Campaign:
    """A campaign as pandas frames: `path` is what ``fakedirty campaign run --out`` was given."""
    from fakedirty.campaign.frames import load as read

    return read(path)
