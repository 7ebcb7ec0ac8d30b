"""The parameters of the series, by every way to them: QMP, the human monitor, -global, and the schema of it all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fakedirty.lab.machine import machine
from fakedirty.lab.qemu import qemu_binary
from fakedirty.qmp.client import Qmp

IDLE = ("-m", "16", "-S")
DEFAULTS: Mapping[str, object] = {
    "fake-dirty-mode": "off",
    "fake-dirty-hash": "xxh3-64",
    "fake-dirty-switchover": True,
    "fake-dirty-allow-weak-hash": False,
    "fake-dirty-audit": False,
}
CHANGED: Mapping[str, object] = {
    "fake-dirty-allow-weak-hash": True,
    "fake-dirty-hash": "murmur3-32",
    "fake-dirty-mode": "skip",
    "fake-dirty-switchover": False,
    "fake-dirty-audit": True,
}
MODES = ["off", "observe", "skip"]
# those that are built in by the recipe; Debian has no BLAKE3 library
HASHES = ["xxh3-64", "xxh3-128", "sha1", "md5", "crc32", "murmur3-32", "murmur3-128"]
CLASSES = ["first", "changed", "fake"]
DISPOSITIONS = ["normal", "zero", "xbzrle", "unchanged", "skipped"]


def written(value: object) -> str:
    """A value as people write it."""
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def parameters(qmp: Qmp) -> dict[str, object]:
    told: dict[str, object] = qmp.execute("query-migrate-parameters")
    return {name: told[name] for name in DEFAULTS}


def test_parameters_have_defaults_and_are_set_by_qmp() -> None:
    with machine("interfaces", qemu_binary(), IDLE) as vm:
        assert parameters(vm.qmp) == DEFAULTS
        vm.qmp.execute("migrate-set-parameters", CHANGED)
        assert parameters(vm.qmp) == CHANGED


def test_parameters_are_set_and_shown_by_the_human_monitor() -> None:
    with machine("interfaces", qemu_binary(), IDLE) as vm:
        for name, value in CHANGED.items():
            command = f"migrate_set_parameter {name} {written(value)}"
            assert vm.qmp.execute("human-monitor-command", {"command-line": command}) == ""
        shown = vm.qmp.execute("human-monitor-command", {"command-line": "info migrate_parameters"}).splitlines()
        assert parameters(vm.qmp) == CHANGED
    assert {f"{name}: {written(value)}" for name, value in CHANGED.items()} <= {line.strip() for line in shown}


def test_parameters_are_globals() -> None:
    options = [word for name, value in CHANGED.items() for word in ("-global", f"migration.{name}={written(value)}")]
    with machine("interfaces", qemu_binary(), [*IDLE, *options]) as vm:
        assert parameters(vm.qmp) == CHANGED


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    with machine("interfaces", qemu_binary(), IDLE) as vm:
        return {entry["name"]: entry for entry in vm.qmp.execute("query-qmp-schema")}


def members(schema: Mapping[str, Any], of: str) -> dict[str, str]:
    """Names and types of an object's members; those of an array are its elements'."""
    found = schema[of]
    if found["meta-type"] == "array":
        found = schema[found["element-type"]]
    return {member["name"]: member["type"] for member in found["members"]}


@pytest.mark.parametrize(("command", "side"), [("migrate-set-parameters", "arg"), ("query-migrate-parameters", "ret")])
def test_the_schema_has_every_parameter_and_value(schema: Mapping[str, Any], command: str, side: str) -> None:
    found = members(schema, schema[command][f"{side}-type"])
    assert set(DEFAULTS) <= set(found)
    values = {name: schema[found[name]].get("values") for name in DEFAULTS}
    assert values["fake-dirty-mode"] == MODES
    assert [value for value in values["fake-dirty-hash"] if value != "blake3"] == HASHES
    assert {schema[found[name]]["meta-type"] for name, value in DEFAULTS.items() if value in (True, False)} == {
        "builtin"
    }


def test_the_schema_has_totals_and_rounds(schema: Mapping[str, Any]) -> None:
    totals = members(schema, members(schema, schema["query-migrate"]["ret-type"])["fake-dirty"])
    assert {"mode", "hash", *CLASSES, *DISPOSITIONS} <= set(totals)
    assert {"saved-bytes", "hash-time", "table-bytes", "audited", "false-equal"} <= set(totals)
    history = members(schema, schema["query-migration-rounds"]["ret-type"])
    assert {"migration-start", "dropped"} <= set(history)
    each = members(schema, history["rounds"])
    assert {"round", "kind", "start", "end", "mode", "hash", *CLASSES, *DISPOSITIONS} <= set(each)
    assert {"dirty", "forced", "visited", "left", "hinted", "transferred", "saved-bytes", "forced-syncs"} <= set(each)
    assert schema[each["kind"]]["values"] == ["bulk", "iterative", "switchover"]
