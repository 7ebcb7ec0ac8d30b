"""The capabilities that a QEMU accepts together with skip, and the reasons why others are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fakedirty.lab.fuzz.skip_compatibility import find_skip_compatibility
from fakedirty.qmp.client import QmpRefusedError

METHODS = ("none", "zlib", "zstd", "qpl")


class RefusingQemu:
    """A QEMU that refuses some capabilities together with skip, and others always."""

    def __init__(self, with_skip: set[str] = frozenset(), always: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self.path = "qmp"
        self._with_skip, self._always = with_skip, always
        self.on: set[str] = set()
        self.mode = "off"

    def execute(self, command: str, arguments: dict[str, Any] | None = None, **more: Any) -> Any:
        if command == "query-qmp-schema":
            return schema()
        if command == "migrate-set-parameters":
            assert arguments is not None
            mode = arguments["fake-dirty-mode"]
            if mode == "skip" and (conflict := self.on & self._with_skip):
                raise QmpRefusedError(command, "GenericError", f"not compatible with {conflict.pop()}")
            self.mode = mode
            return {}
        states = {each["capability"]: each["state"] for each in more["capabilities"]}
        if refused := set(states) & self._always:
            raise QmpRefusedError(command, "GenericError", f"no {refused.pop()} here")
        self.on = (self.on | {name for name, on in states.items() if on}) - {n for n, on in states.items() if not on}
        return {}


def schema() -> list[dict[str, Any]]:
    return [
        {"name": "migrate-set-parameters", "meta-type": "command", "arg-type": "1", "ret-type": "0"},
        {"name": "1", "meta-type": "object", "members": [{"name": "multifd-compression", "type": "2"}]},
        {"name": "2", "meta-type": "enum", "members": [{"name": name} for name in METHODS], "values": list(METHODS)},
    ]


def test_a_qemu_that_accepts_everything(tmp_path: Path) -> None:
    qemu: Any = RefusingQemu()
    found = find_skip_compatibility(qemu, tmp_path)
    assert found.compressions == ("none", "zlib", "zstd")
    assert set(found.routes) | {each.partition(":")[0] for each in found.left_out} == {
        "mapped-ram",
        "direct-io",
        "postcopy",
        "postcopy-preempt",
        "postcopy with multifd",
    }
    assert {"mapped-ram", "postcopy"} <= set(found.routes)
    assert (qemu.on, qemu.mode) == (set(), "off"), "left as it was"


def test_refused_capabilities_are_left_out_with_the_reason_of_qemu(tmp_path: Path) -> None:
    qemu: Any = RefusingQemu(with_skip={"multifd", "postcopy-ram"}, always={"mapped-ram"})
    found = find_skip_compatibility(qemu, tmp_path)
    assert found.compressions == found.routes == ()
    assert "multifd: not compatible with multifd" in found.left_out
    assert "mapped-ram: no mapped-ram here" in found.left_out
    assert "direct-io: no mapped-ram here" in found.left_out
    assert "postcopy with multifd: not compatible with" in " ".join(found.left_out)
    assert (qemu.on, qemu.mode) == (set(), "off")
