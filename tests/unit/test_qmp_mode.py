"""The mode is set, read back, and refused on a QEMU without the series."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakedirty.errors import QmpError
from fakedirty.model.words import Mode
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import read_mode, set_mode, supports
from qmp_server import qmp_server


def schema(*parameters: str) -> list[dict[str, Any]]:
    """The two entries of ``query-qmp-schema`` that say which parameters there are."""
    return [
        {"name": "migrate-set-parameters", "meta-type": "command", "arg-type": "7", "ret-type": "0"},
        {"name": "7", "meta-type": "object", "members": [{"name": name, "type": "str"} for name in parameters]},
    ]


@contextmanager
def patched(path: Path, *, obedient: bool = True) -> Iterator[Qmp]:
    """A QEMU that has the series, as far as its parameters go."""
    parameters = {"fake-dirty-mode": "off", "fake-dirty-hash": "xxh3-64", "downtime-limit": 300}

    def change(arguments: dict[str, Any]) -> object:
        if obedient:
            parameters.update(arguments)
        return {}

    answers = {
        "query-qmp-schema": lambda arguments: schema("downtime-limit", "fake-dirty-mode"),
        "query-migrate-parameters": lambda arguments: parameters,
        "migrate-set-parameters": change,
    }
    with qmp_server(path, answers), Qmp.connect(path) as qmp:
        yield qmp


def test_set_and_read_back(tmp_path: Path) -> None:
    with patched(tmp_path / "qmp") as qmp:
        assert supports(qmp)
        assert read_mode(qmp) == (Mode.OFF, "xxh3-64")
        assert set_mode(qmp, Mode.SKIP) == (Mode.SKIP, "xxh3-64")
        assert set_mode(qmp, Mode.OBSERVE, "sha1") == (Mode.OBSERVE, "sha1")
        assert read_mode(qmp) == (Mode.OBSERVE, "sha1")


def test_a_mode_that_does_not_take_is_an_error(tmp_path: Path) -> None:
    with patched(tmp_path / "qmp", obedient=False) as qmp, pytest.raises(QmpError, match="reads back off"):
        set_mode(qmp, Mode.SKIP)


def test_without_the_series(tmp_path: Path) -> None:
    answers = {
        "query-qmp-schema": lambda arguments: schema("downtime-limit"),
        "query-migrate-parameters": lambda arguments: {"downtime-limit": 300},
    }
    with qmp_server(tmp_path / "qmp", answers), Qmp.connect(tmp_path / "qmp") as qmp:
        assert not supports(qmp)
        with pytest.raises(QmpError, match="fakedirty doctor"):
            set_mode(qmp, Mode.SKIP)
        with pytest.raises(QmpError, match="fakedirty doctor"):
            read_mode(qmp)
