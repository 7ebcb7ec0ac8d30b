"""Which QEMU the laboratory runs: a given binary, Debian's own, or a cached build with the patch series."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fakedirty.errors import LabError, MissingError
from fakedirty.linux.cache_directory import cache_directory
from fakedirty.package_files import carried

RELEASE = "10.0"  # of QEMU, by default
BINARY = "qemu-system-x86_64"

# where Debian's packages seabios and qemu-system-data put the firmware
FIRMWARE = (Path("/usr/share/seabios"), Path("/usr/share/qemu"), Path("/usr/lib/ipxe/qemu"))


def releases(patches: Path | None = None) -> list[str]:
    """The releases of QEMU that have a patch series: each is a directory below ``qemu-patches/``."""
    below = (patches or carried("qemu-patches")).iterdir()
    found = [path.name for path in below if path.is_dir() and re.fullmatch(r"\d+\.\d+", path.name)]
    return sorted(found, key=lambda name: [int(part) for part in name.split(".")])


class Builds:
    """The cache of QEMU builds, one directory each: ``qemu/<source version>-<recipe>/``.

    Args:
        release: one of `releases`.
        patched: whether the build has the patch series of that release.
        strip: whether the binary is stripped, as distributions do it.
        environment: the environment of the build.
        patches: the directory ``qemu-patches/``.

    Raises:
        LabError: there is no patch series for this release.
    """

    def __init__(
        self,
        release: str = RELEASE,
        *,
        patched: bool = True,
        strip: bool = False,
        environment: Mapping[str, str] = os.environ,
        patches: Path | None = None,
    ) -> None:
        self._patches = patches or carried("qemu-patches")
        known = releases(self._patches)
        if release not in known:
            raise LabError(f"there is no patch series for QEMU {release}, only for {', '.join(known)}")
        self._release = release
        self._series = str(self._patches / release) if patched else "none"
        self._environment = {**environment, "FAKEDIRTY_STRIP": "1" if strip else ""}
        self._root = cache_directory(environment) / "qemu"

    def find(self) -> Path | None:
        """The binary of the newest cached build with this patch series and recipe, or None. It uses no network."""
        recipe = self._output("recipe", self._series, self._release)
        given = self._environment.get("FAKEDIRTY_QEMU_SOURCE")
        pattern = f"{self._output('version', self._release) if given else '*'}-{recipe}/{BINARY}"
        found = sorted(self._root.glob(pattern), key=lambda path: path.stat().st_mtime)
        return found[-1] if found else None

    def build(self) -> Path:
        """Build from the newest source of the release, unless that build is cached. Progress goes to stderr.

        Returns:
            The binary.

        Raises:
            LabError: the build failed.
        """
        recipe = self._output("recipe", self._series, self._release)
        home = self._root / f"{self._output('version', self._release)}-{recipe}"
        binary = home / BINARY
        if binary.exists():
            return binary
        part = home.with_name(f"{home.name}.{os.getpid()}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._run("build", self._series, str(part), self._release)
            part.rename(home)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return binary

    def _output(self, *arguments: str) -> str:
        return self._run(*arguments, capture=True).strip()

    def _run(self, *arguments: str, capture: bool = False) -> str:
        command = [str(self._patches / "build.sh"), *arguments]
        done = subprocess.run(
            command, env=self._environment, stdout=subprocess.PIPE if capture else None, text=True, check=False
        )
        if done.returncode != 0:
            raise LabError(f"build.sh {arguments[0]} failed (exit {done.returncode}); its output is above")
        return done.stdout or ""


def qemu_binary(environment: Mapping[str, str] = os.environ) -> Path:
    """The QEMU with the patch series: ``$FAKEDIRTY_QEMU``, or the cached build of the default release.

    Raises:
        MissingError: there is neither; the error names the command that builds it.
    """
    given = environment.get("FAKEDIRTY_QEMU")
    if given:
        if not os.access(given, os.X_OK):
            raise MissingError(f"FAKEDIRTY_QEMU={given} is not a program")
        return Path(given)
    return built_binary(environment=environment)


def built_binary(release: str = RELEASE, environment: Mapping[str, str] = os.environ) -> Path:
    """The cached build of a release with its patch series.

    Raises:
        MissingError: there is none; the error names the command that builds it.
    """
    found = Builds(release, environment=environment).find()
    if found is None:
        command = _command("fakedirty qemu build", release)
        raise MissingError(f"the patched QEMU {release} is not built yet: run '{command}' (about 5 minutes)")
    return found


def unpatched_binary(environment: Mapping[str, str] = os.environ, release: str = RELEASE) -> Path:
    """The cached build of the same source without the patch series, stripped as distributions do it.

    Raises:
        MissingError: there is none; the error names the command that builds it.
    """
    found = Builds(release, patched=False, strip=True, environment=environment).find()
    if found is None:
        command = _command("fakedirty qemu build --unpatched", release)
        raise MissingError(f"QEMU {release} without the patch series is not built yet: run '{command}'")
    return found


def _command(words: str, release: str) -> str:
    return words if release == RELEASE else f"{words} --version {release}"


def stock_binary() -> Path:
    """Debian's own QEMU.

    Raises:
        MissingError: it is not installed.
    """
    found = shutil.which(BINARY)
    if found is None:
        raise MissingError(f"{BINARY} is not installed: apt-get install qemu-system-x86")
    return Path(found)


def qemu_version(qemu: Path) -> str:
    """The first line of ``--version``.

    Raises:
        MissingError: the binary does not run.
    """
    try:
        done = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingError(f"{qemu} does not run: {error}") from error
    return done.stdout.splitlines()[0]


def qemu_facts(qemu: Path) -> dict[str, str]:
    """The entry of a QEMU in a manifest: its path and its version."""
    return {"binary": str(qemu), "version": qemu_version(qemu)}


def firmware_arguments() -> list[str]:
    """``-L`` options for a QEMU that was built without firmware."""
    return [word for directory in FIRMWARE if directory.is_dir() for word in ("-L", str(directory))]
