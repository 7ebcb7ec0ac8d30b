"""What the manifest of a recording says about a QEMU: from its process, and from its monitor."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from fakedirty.errors import FakedirtyError, QmpError
from fakedirty.model.enums import Level
from fakedirty.model.vm_names import visible
from fakedirty.observe.host.executable_plans import ExecutablePlans
from fakedirty.observe.host.migration_capabilities import version_text
from fakedirty.observe.host.target import Target
from fakedirty.qmp.address import Address
from fakedirty.qmp.peer import PeerError
from fakedirty.qmp.turn import turn

QMP_SECONDS = 0.5  # for all commands together: a client that holds the socket may keep it for ever

#: the commands of QMP whose answers go into the manifest
QMP_FACTS = {
    "version": "query-version",
    "parameters": "query-migrate-parameters",
    "capabilities": "query-migrate-capabilities",
}

_log = logging.getLogger(__name__)


def process_facts(target: Target, reasons: Mapping[Level, str], plans: ExecutablePlans) -> dict[str, Any]:
    """The facts that need no monitor.

    Args:
        target: The QEMU.
        reasons: For each higher level, why the QEMU is not observed at it.
        plans: Remembers what has been read from executables.
    """
    qemu: dict[str, object] = {"pid": target.pid, "program": target.program}
    try:
        command_line = (target.proc / str(target.pid) / "cmdline").read_bytes()
        qemu["command_line"] = [*map(visible, command_line.decode(errors="surrogateescape").split("\0")[:-1])]
        qemu["build_id"] = plans.of_executable(target.exe, "build id", lambda binary: binary.build_id)
    except (OSError, FakedirtyError):
        pass  # the process of another user: what can be read of it is enough
    return {"host": platform.node(), "qemu": qemu, "not_at_level": {str(level): why for level, why in reasons.items()}}


def monitor_facts(monitors: Iterable[Address]) -> tuple[Address | None, dict[str, object]]:
    """The answers of the first monitor that answers, and its address; a socket serves one client, so some may be held.

    Returns:
        The address, None where no monitor answers, and the answers by the names of :data:`QMP_FACTS`.
    """
    for address in monitors:
        try:
            with turn([address], QMP_SECONDS) as qmp:
                return address, {name: qmp.execute(command) for name, command in QMP_FACTS.items()}
        except PeerError as error:
            _log.warning("%s", error)
        except QmpError:
            continue
    return None, {}


def version_in(facts: Mapping[str, object]) -> str:
    """The version of QEMU in the answers of a monitor; empty where none answered, or not in the form of QEMU."""
    with suppress(KeyError, TypeError):
        return version_text(facts["version"])
    return ""
