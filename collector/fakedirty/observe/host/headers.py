"""Kernel headers that bcc compiles against: where they are, and which options it needs.

The probes read only user memory and registers, so the headers of any recent kernel do.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import MissingError

# file descriptors: clang opens dozens of headers, and ends this process if it cannot open one
COMPILER_DESCRIPTORS = 96

# in Debian's tree of an architecture (linux-headers-6.1.0-56-cloud-amd64), beside which the common tree lies
ARCH_INCLUDES = ("arch/x86/include/generated", "arch/x86/include/generated/uapi", "include", "include/generated/uapi")


@dataclass(frozen=True, slots=True)
class Headers:
    """A set of headers that can be used.

    Attributes:
        where: where they are, for messages.
        source: the value of BCC_KERNEL_SOURCE; None: bcc finds them itself.
        cflags: options that the compiler needs.
    """

    where: str
    source: Path | None = None
    cflags: tuple[str, ...] = ()


def find(
    root: Path = Path("/"),
    release: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Headers:
    """The headers to use: of BCC_KERNEL_SOURCE, of the running kernel, or the newest in ``/usr/src``.

    Args:
        root: where ``lib``, ``sys`` and ``usr`` are.
        release: the kernel's release; None: that of the running kernel.
        environ: the environment.

    Raises:
        MissingError: there are none; the error names the package to install.
    """
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
