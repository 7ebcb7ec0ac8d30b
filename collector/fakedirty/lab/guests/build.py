"""Builds guests into the user's cache, once for each content of their sources and version of their packages."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.linux.cache_directory import cache_directory
from fakedirty.package_files import carried

BUILD_SECONDS = 600  # the kernel package may come over a slow line


def cached_build(name: str, files: Sequence[str], sources: Path | None = None, cache: Path | None = None) -> Path:
    """Build a guest, unless the same build is in the cache.

    The directory appears complete or not at all, so that builds may run side by side.

    Args:
        name: the guest, a directory of `sources`.
        files: the files that its build makes.
        sources: the directory of all guests; default: the one that the package carries.
        cache: the directory of builds; default: the user's.

    Returns:
        The directory that holds the files.

    Raises:
        LabError: the build failed; the message has its output.
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
    """The hash of all inputs of a build: the guest's directory, the sources that all share, and the packages."""
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
        output = (done.stderr or done.stdout).strip()
        packages = re.search(r"^# Packages: (.*)$", recipe.read_text(), re.MULTILINE)
        needs = f"; it needs the packages {packages[1]}" if packages else ""
        raise LabError(f"{recipe} failed (exit {done.returncode}): {output}{needs}")
    return done.stdout
