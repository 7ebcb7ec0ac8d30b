"""Choose a QEMU by the name of its VM."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from fakedirty.errors import TargetError, UsageError
from fakedirty.model.vm_names import visible

from .target import Target


def named(name: str, targets: Sequence[Target]) -> Target:
    """The QEMU whose VM has a name. A name with bytes that are not UTF-8 may be given in its shown form.

    Raises:
        TargetError: there is none; the error has the nearest names.
        UsageError: there are several.
    """
    name = name if any(target.vm == name for target in targets) else visible(name)
    found = [target for target in targets if target.vm == name]
    if found:
        return only(found, f"several QEMUs run a VM named {name}")
    near = difflib.get_close_matches(name, [target.vm for target in targets])
    hint = f"did you mean {' or '.join(near)}?" if near else _listed(targets)
    raise TargetError(f"no VM named {name} runs here; {hint}")


def only(targets: Sequence[Target], trouble: str) -> Target:
    """The single one of `targets`. If there are several, raises UsageError with the `trouble` and a list of them."""
    if len(targets) > 1:
        raise UsageError(f"{trouble}; choose one with --pid or --vm: {_listed(targets)}")
    return targets[0]


def _listed(targets: Sequence[Target]) -> str:
    return ", ".join(f"{target.vm} (pid {target.pid})" for target in targets) or "no QEMU runs"
