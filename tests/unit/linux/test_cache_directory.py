"""Where builds are cached: as the user's environment says, or below the home directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.linux.cache_directory import cache_directory


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"XDG_CACHE_HOME": "/var/cache/someone"}, Path("/var/cache/someone/fakedirty")),
        ({"XDG_CACHE_HOME": ""}, Path("/home/someone/.cache/fakedirty")),
        ({}, Path("/home/someone/.cache/fakedirty")),
    ],
)
def test_cache_directory(environment: dict[str, str], directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/someone"))
    assert cache_directory(environment) == directory
