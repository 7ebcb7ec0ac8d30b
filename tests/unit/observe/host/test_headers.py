"""Kernel headers: the order in which they are looked for, and Debian's two trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.errors import MissingError
from fakedirty.observe.host import headers


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def debian(root: Path, version: str) -> None:
    make(root, f"usr/src/linux-headers-{version}-cloud-amd64/include/generated/autoconf.h")
    make(root, f"usr/src/linux-headers-{version}-common/include/linux/kernel.h")


def test_nothing_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="linux-headers-cloud-amd64"):
        headers.find(tmp_path, "6.18", {})


def test_the_environment_comes_first(tmp_path: Path) -> None:
    debian(tmp_path, "6.1.0-9")
    assert headers.find(tmp_path, "6.18", {"BCC_KERNEL_SOURCE": "/given"}).source == Path("/given")


def test_the_running_kernel_before_its_archive_before_others(tmp_path: Path) -> None:
    debian(tmp_path, "6.1.0-9")
    make(tmp_path, "sys/kernel/kheaders.tar.xz")
    assert headers.find(tmp_path, "6.18", {}).where.endswith("kheaders.tar.xz")
    make(tmp_path, "lib/modules/6.18/build/include/linux/kernel.h")
    found = headers.find(tmp_path, "6.18", {})
    assert found.where.endswith("lib/modules/6.18/build")
    assert found.source is None


def test_the_newest_by_number_with_its_common_tree(tmp_path: Path) -> None:
    debian(tmp_path, "6.1.0-9")
    debian(tmp_path, "6.1.0-56")
    found = headers.find(tmp_path, "6.18", {})
    assert found.source == tmp_path / "usr/src/linux-headers-6.1.0-56-common"
    arch = tmp_path / "usr/src/linux-headers-6.1.0-56-cloud-amd64"
    assert f"-I{arch}/arch/x86/include/generated" in found.cflags
    assert f"-I{arch}/include" in found.cflags


def test_one_tree_alone(tmp_path: Path) -> None:
    make(tmp_path, "usr/src/linux-headers-6.8.0-own/include/generated/autoconf.h")
    found = headers.find(tmp_path, "6.18", {})
    assert found.source == tmp_path / "usr/src/linux-headers-6.8.0-own"
    assert found.cflags == ()
