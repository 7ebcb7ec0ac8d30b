"""Builds the series as it is, and its broken variants, in one build directory: each compiles what it changes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.lab.qemu import BINARY
from fakedirty.linux.user_directories import cache_directory
from fakedirty.package_files import carried
from variants import Edit, Variant


class Workshop:
    """Source and build directory of one series and recipe, below the cache; those of others are removed.

    build.sh makes both; they stay, so that another run compiles next to nothing.
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
        """The series, nothing changed."""
        binary = self._home / "intact" / BINARY
        if not binary.exists():
            shutil.rmtree(self._home.parent, ignore_errors=True)
            self._home.mkdir(parents=True)
            environment = {**os.environ, "FAKEDIRTY_WORK": str(self._home), "FAKEDIRTY_STRIP": ""}
            _run([str(self._script), "build", str(self._series), str(binary.parent), self._release], environment)
        return binary

    def broken(self, variant: Variant) -> Path:
        """A variant: its binary is the build directory's own until the next one is built, so it is copied."""
        self.intact()
        binary = self._home / variant.name / BINARY
        with self._edited(variant.edits):
            _run(["ninja", "-C", str(self._home / "build"), "-j", str(self._jobs), BINARY], capture=True)
            binary.parent.mkdir(exist_ok=True)
            shutil.copy(self._home / "build" / BINARY, binary)
        return binary

    @contextmanager
    def _edited(self, edits: tuple[Edit, ...]) -> Iterator[None]:
        """The source with these changes; whatever happens, it is as it was afterwards."""
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
