"""Compiling, with a bcc that is made up."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from fakedirty.linux import libc
from fakedirty.linux.uprobe import BpfError
from fakedirty.observe.bpf.program import Bpf
from fakedirty.observe.host.headers import Headers


def compile_by(function: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Bpf:
    monkeypatch.setitem(sys.modules, "bcc", SimpleNamespace(BPF=lambda **_: function()))
    return Bpf(["rings.c"], Headers("headers"), {})


def test_other_threads_keep_their_directory_while_bcc_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bcc goes to the directory of the kernel headers. Files with relative paths must not be written there."""
    headers = tmp_path / "headers"
    headers.mkdir()
    inside, looked = Event(), Event()

    def compile_in_headers() -> None:
        before = Path.cwd()
        os.chdir(headers)
        inside.set()
        looked.wait(30)
        os.chdir(before)

    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(1) as other:
        compiled = other.submit(compile_by, compile_in_headers, monkeypatch)
        assert inside.wait(30)
        try:
            assert Path.cwd() == tmp_path
        finally:
            looked.set()
        assert compiled.result()


def test_nothing_is_compiled_in_a_directory_that_others_share(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = Event()

    def refuse(flags: int) -> None:
        raise OSError(errno.EPERM, "refused")

    monkeypatch.setattr(libc, "unshare", refuse)
    with pytest.raises(
        BpfError, match=r"could not be compiled against headers: the kernel refused unshare\(CLONE_FS\) \(EPERM\)"
    ):
        compile_by(compiled.set, monkeypatch)
    assert not compiled.is_set()
