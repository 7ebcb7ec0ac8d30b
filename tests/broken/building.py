"""Builds the patch series and its broken variants in one build directory, so that each compiles only what it edits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.lab.qemu import BINARY
from fakedirty.linux.cache_directory import cache_directory
from fakedirty.package_files import carried
from variant import Edit, Variant


class VariantBuilds:
    """The builds of one patch series and recipe, below the cache. Builds of another series or recipe are removed.

    build.sh makes the source and the build directory. Both are kept, so that another run compiles little.
    """

    def __init__(self, jobs: int, release: str) -> None:
        self._script = carried("qemu-patches") / "build.sh"
        self._series = carried("qemu-patches") / release
        self._release = release
        self._jobs = jobs
        recipe = _run([str(self._script), "recipe", str(self._series), release], capture=True).strip()
        if os.environ.get("FAKEDIRTY_QEMU_SOURCE"):
            recipe += "-" + _run([str(self._script), "version", release], capture=True).strip()
        self._home = cache_directory() / "broken" / recipe

    def intact(self) -> Path:
        """Build the patch series without edits; returns the binary."""
        binary = self._home / "intact" / BINARY
        if not binary.exists():
            shutil.rmtree(self._home.parent, ignore_errors=True)
            self._home.mkdir(parents=True)
            environment = {**os.environ, "FAKEDIRTY_WORK": str(self._home), "FAKEDIRTY_STRIP": ""}
            _run([str(self._script), "build", str(self._series), str(binary.parent), self._release], environment)
        return binary

    def broken(self, variant: Variant) -> Path:
        """Build a variant; returns a copy of the binary, because the next build overwrites it."""
        self.intact()
        binary = self._home / variant.name / BINARY
        with self._edited(variant.edits):
            _run(["ninja", "-C", str(self._home / "build"), "-j", str(self._jobs), BINARY], capture=True)
            binary.parent.mkdir(exist_ok=True)
            shutil.copy(self._home / "build" / BINARY, binary)
        return binary

    @contextmanager
    def _edited(self, edits: tuple[Edit, ...]) -> Iterator[None]:
        """Edit the source in the ``with`` block, and restore it afterwards."""
        paths = {self._home / "source" / edit.file: edit.file for edit in edits}
        before = {path: path.read_text() for path in paths}
        try:
            for edit in edits:
                path = self._home / "source" / edit.file
                path.write_text(edit.applied(path.read_text()))
            yield
        finally:
            for path, text in before.items():
                path.write_text(text)


def _run(command: list[str], environment: dict[str, str] | None = None, *, capture: bool = False) -> str:
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE if capture else None, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        raise LabError(f"'{' '.join(command)}' failed:\n{(done.stdout or '')[-4000:]}")
    return done.stdout or ""
