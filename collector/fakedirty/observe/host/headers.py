"""Kernel headers for bcc to compile against: where they are, and what to tell it.

The probes touch only user memory and registers, so the headers of any recent kernel do.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import MissingError

# Debian's arch tree (linux-headers-6.1.0-56-cloud-amd64), whose common tree lies beside it
ARCH_INCLUDES = ("arch/x86/include/generated", "arch/x86/include/generated/uapi", "include", "include/generated/uapi")


@dataclass(frozen=True, slots=True)
class Headers:
    """A usable set of headers: `source` goes to bcc as BCC_KERNEL_SOURCE unless it finds them itself."""

    where: str
    source: Path | None = None
    cflags: tuple[str, ...] = ()


def find(
    root: Path = Path("/"),
    release: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Headers:
    """The headers to use; MissingError names the package to install when there are none."""
    release = release or platform.release()
    if given := environ.get("BCC_KERNEL_SOURCE"):
        return Headers(f"BCC_KERNEL_SOURCE={given}", Path(given))
    build = root / "lib/modules" / release / "build"
    if (build / "include").is_dir():
        return Headers(str(build))
    if (kheaders := root / "sys/kernel/kheaders.tar.xz").exists():
        return Headers(str(kheaders))
    for arch in sorted((root / "usr/src").glob("linux-headers-*"), key=_version, reverse=True):
        if not (arch / "include/generated/autoconf.h").exists():
            continue
        common = arch.with_name(re.sub(r"^(linux-headers-[\d.]+-\d+)-.*", r"\1-common", arch.name))
        if common != arch and common.is_dir():
            return Headers(str(arch), common, tuple(f"-I{arch / part}" for part in ARCH_INCLUDES))
        return Headers(str(arch), arch)
    raise MissingError(
        f"no kernel headers for {release} nor any in {root / 'usr/src'}: "
        "install linux-headers-cloud-amd64 (any recent kernel's will do), or set BCC_KERNEL_SOURCE"
    )


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.name))
