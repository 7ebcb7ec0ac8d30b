"""A QEMU of which only the parameters of its fake dirty mode are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakedirty.errors import QmpError
from fakedirty.observe.host.target import Target
from fakedirty.qmp.mode import State
from fakedirty.qmp.parameters import HASH, MODE
from fakedirty.service.mode_manager import Change


class Guest:
    """The parameters of a QEMU, and whether its monitor answers."""

    path = Path("monitor")

    def __init__(self) -> None:
        self.parameters: dict[str, object] = {MODE: "off", HASH: "xxh3-64"}
        self.answers = True

    @property
    def mode(self) -> object:
        """As it is."""
        return self.parameters[MODE]

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """What is needed to set a mode."""
        if command == "query-qmp-schema":
            return [{"name": "migrate-set-parameters", "arg-type": "1"}, {"name": "1", "members": [{"name": MODE}]}]
        if command == "migrate-set-parameters":
            if (arguments or {}).get(HASH) == "none":
                raise QmpError("no such hash")
            self.parameters |= arguments or {}
        return dict(self.parameters)

    def with_qmp(self, _target: Target, change: Change) -> State:
        """As the service does it."""
        if not self.answers:
            raise QmpError("the socket is held by another")
        return change(self)  # type: ignore[arg-type]
