"""Packages for what a test installs elsewhere, from where this machine gets its own: by apt, and by pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DEBIAN = "bookworm"
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")


def debian() -> str:
    """Where this machine's apt gets Debian 12 from."""
    lines = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(CODENAME)", "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    found = [line.split()[0] for line in lines if DEBIAN in line.split()[1:]]
    assert found, f"apt has no source of {DEBIAN}: {lines}"
    return found[0]


def bootstrap(release: str, directory: Path, *packages: str) -> None:
    """A release of Debian with what is essential, and these packages, in a directory of its own."""
    command = ["debootstrap", "--variant=minbase", *([f"--include={','.join(packages)}"] if packages else [])]
    subprocess.run([*command, release, directory, debian()], check=True)


def wheels(directory: Path, requirements: Sequence[str]) -> None:
    """All that these need, as pip is configured here; pip elsewhere then finds them in the directory alone."""
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "-w", directory, *requirements], check=True)


def settings(root: Path) -> None:
    """Give a Debian below a directory what this machine's apt reaches its source with: proxies, and certificates."""
    command = ["apt-config", "dump", "Acquire::http", "Acquire::https"]
    dumped = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (root / "etc/apt/apt.conf.d/90reach").write_text(dumped)
    if TRUSTED.exists():
        there = root / TRUSTED.relative_to("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TRUSTED, there)
