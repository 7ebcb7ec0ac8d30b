"""Builds guests into the user's cache: once per content of their sources and version of their packages."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.linux.user_directories import cache_directory
from fakedirty.package_files import carried

BUILD_SECONDS = 600  # the kernel package may come over a slow line


def built(name: str, files: Sequence[str], sources: Path | None = None, cache: Path | None = None) -> Path:
    """The directory that holds the `files` of guest `name`, built now unless that very build is cached.

    It appears whole or not at all, so builds may run side by side. LabError carries what the build said.
    """
    sources = sources or carried("guests")
    recipe = sources / name / "build.sh"
    home = (cache or cache_directory()) / "guests" / f"{name}-{_key(sources, name, recipe)}"
    if all((home / file).exists() for file in files):
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{home.name}.", suffix=".part", dir=home.parent))
    try:
        _run(recipe, str(part))
        try:
            part.rename(home)
        except OSError:  # another build was first, or an incomplete one is in the way
            if not all((home / file).exists() for file in files):
                raise
    except OSError as error:
        raise LabError(f"guest {name} cannot be put into the cache at {home}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return home


def _key(sources: Path, name: str, recipe: Path) -> str:
    """Hash of all that goes into the guest: its directory, the sources all share, the packages it names."""
    digest = hashlib.sha256()
    for path in sorted([*(sources / name).iterdir(), *sources.glob("*.[ch]"), *sources.glob("*.sh")]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(sources)} {len(content)}\n".encode() + content)
    digest.update(_run(recipe).encode())
    return digest.hexdigest()[:16]


def _run(recipe: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["sh", str(recipe), *arguments], capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{recipe} did not end within {BUILD_SECONDS} s: is the package mirror reachable?") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        packages = re.search(r"^# Packages: (.*)$", recipe.read_text(), re.MULTILINE)
        needs = f"; it needs the packages {packages[1]}" if packages else ""
        raise LabError(f"{recipe} failed (exit {done.returncode}): {said}{needs}")
    return done.stdout
