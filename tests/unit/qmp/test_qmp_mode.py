"""The mode is set, read back, and refused on a QEMU without the series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakedirty.errors import QmpError
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import read_mode, set_mode, supports
from fakedirty.qmp.refusals import SwitchoverDecidedError, not_built_in, not_cleaned_up, switchover_decided
from fakedirty.qmp.supported import FakeDirtySupport, read_support
from qmp_server import Refused, qmp_server

TODAY, BEFORE = "query-migration-rounds", "query-fake-dirty-rounds"
MODES = ("off", "observe", "skip")
HASHES = ("xxh3-64", "sha1")
DECIDED = (
    "fake-dirty-mode, fake-dirty-hash and fake-dirty-audit cannot be changed any more: "
    "the switchover of the migration has been decided"
)


def schema(*parameters: str, more: Sequence[dict[str, Any]] = (), **types: str) -> list[dict[str, Any]]:
    """The entries of ``query-qmp-schema`` with these parameters and their types."""
    members = [{"name": name, "type": types.get(name.rpartition("-")[2], "str")} for name in parameters]
    return [
        {"name": "migrate-set-parameters", "meta-type": "command", "arg-type": "7", "ret-type": "0"},
        {"name": "7", "meta-type": "object", "members": members},
        *more,
    ]


def series(hashes: Sequence[str], modes: Sequence[str] = MODES, history: str = TODAY) -> list[dict[str, Any]]:
    """The schema of a QEMU with the series, whose history has that command."""
    more = [
        {"name": "8", "meta-type": "enum", "members": [{"name": name} for name in modes], "values": [*modes]},
        {"name": "9", "meta-type": "enum", "members": [{"name": name} for name in hashes], "values": [*hashes]},
        {"name": history, "meta-type": "command", "arg-type": "0", "ret-type": "11"},
    ]
    return schema("downtime-limit", "fake-dirty-mode", "fake-dirty-hash", more=more, mode="8", hash="9")


@contextmanager
def patched(
    path: Path,
    *,
    obedient: bool = True,
    entries: Sequence[dict[str, Any]] = (),
    refusal: str = "",
) -> Iterator[Qmp]:
    """A QEMU that has the series, as far as its parameters go; with `refusal` it refuses to change them."""
    parameters = {"fake-dirty-mode": "off", "fake-dirty-hash": "xxh3-64", "downtime-limit": 300}

    def change(arguments: dict[str, Any]) -> object:
        if refusal:
            raise Refused(refusal)
        if obedient:
            parameters.update(arguments)
        return {}

    answers = {
        "query-qmp-schema": lambda arguments: entries or schema("downtime-limit", "fake-dirty-mode"),
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
    with (
        patched(tmp_path / "qmp", obedient=False) as qmp,
        pytest.raises(QmpError, match="reports mode off, hash xxh3-64"),
    ):
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


def test_modes_and_hashes_are_those_of_the_schema(tmp_path: Path) -> None:
    with patched(tmp_path / "qmp", entries=series(HASHES)) as qmp:
        assert read_support(qmp) == FakeDirtySupport(MODES, HASHES)
    with patched(tmp_path / "old", entries=series(HASHES, history=BEFORE)) as qmp:
        assert read_support(qmp) == FakeDirtySupport(MODES, None), "a schema that lists what is not built in"
    with patched(tmp_path / "stock", entries=schema("downtime-limit")) as qmp:
        assert read_support(qmp) == FakeDirtySupport()


def test_a_hash_that_is_not_built_in_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with patched(tmp_path / "qmp", entries=series(HASHES)) as qmp:
        with pytest.raises(QmpError, match="no hash 'blake3', only xxh3-64, sha1"):
            set_mode(qmp, Mode.SKIP, "blake3")
        assert read_mode(qmp) == (Mode.OFF, "xxh3-64")
        assert set_mode(qmp, Mode.SKIP, "sha1") == (Mode.SKIP, "sha1")


def test_a_qemu_whose_only_mode_is_off_says_so(tmp_path: Path) -> None:
    with patched(tmp_path / "qmp", entries=series(("sha1",), modes=("off",))) as qmp:
        with pytest.raises(QmpError, match="no mode 'skip', only off"):
            set_mode(qmp, Mode.SKIP)
        assert set_mode(qmp, Mode.OFF) == (Mode.OFF, "xxh3-64")


@pytest.mark.parametrize(
    "words",
    [
        "fake-dirty-hash 'blake3' is not built in; this QEMU has: xxh3-64, sha1",
        "Parameter 'fake-dirty-hash' does not accept value 'blake3'",
    ],
)
def test_what_only_qemu_knows_is_refused_in_its_words(tmp_path: Path, words: str) -> None:
    with patched(tmp_path / "qmp", entries=series(HASHES, history=BEFORE), refusal=words) as qmp:
        with pytest.raises(QmpError) as caught:
            set_mode(qmp, Mode.SKIP, "blake3")
        assert words in str(caught.value)
        assert not_built_in(caught.value)


def test_a_mode_that_comes_after_the_decision_on_the_switchover_is_an_error_of_its_own(tmp_path: Path) -> None:
    with patched(tmp_path / "qmp", entries=series(HASHES), refusal=DECIDED) as qmp:
        with pytest.raises(SwitchoverDecidedError, match=r"has been decided\. Set them when it is over") as caught:
            set_mode(qmp, Mode.SKIP)
        assert switchover_decided(caught.value)
        assert not not_cleaned_up(caught.value)


def test_a_qemu_with_one_hash_has_no_parameter_for_it(tmp_path: Path) -> None:
    parameters: dict[str, object] = {"fake-dirty-mode": "off"}

    def change(arguments: dict[str, Any]) -> object:
        parameters.update(arguments)
        return {}

    entries = [each for each in series(()) if each["name"] != "7"]
    entries.append({"name": "7", "meta-type": "object", "members": [{"name": "fake-dirty-mode", "type": "8"}]})
    answers = {
        "query-qmp-schema": lambda arguments: entries,
        "query-migrate-parameters": lambda arguments: parameters,
        "migrate-set-parameters": change,
    }
    with qmp_server(tmp_path / "qmp", answers), Qmp.connect(tmp_path / "qmp") as qmp:
        assert read_support(qmp) == FakeDirtySupport(MODES, ())
        assert set_mode(qmp, Mode.SKIP) == (Mode.SKIP, None)
        with pytest.raises(QmpError, match="no hash 'sha1', only one, which is not chosen"):
            set_mode(qmp, Mode.SKIP, "sha1")
        assert read_mode(qmp) == (Mode.SKIP, None)
