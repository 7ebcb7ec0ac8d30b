"""What each vCPU dirties, as QEMU reports it where dirty-limit is on. Pure."""

from __future__ import annotations

from collections.abc import Mapping

COMMAND = "query-vcpu-dirty-limit"  # its answer is in the record under this name
MEBIBYTE = 1 << 20  # QEMU's unit, which it calls MB/s


def vcpu_rates(answer: Mapping[str, object]) -> dict[int, int] | None:
    """Bytes that a vCPU dirties in a second, by its index.

    Args:
        answer: QEMU's answers, with that of the command if dirty-limit is on.

    Returns:
        None where the command was not sent, or QEMU does not measure yet.
    """
    rates = answer.get(COMMAND)
    if not isinstance(rates, list) or not rates:
        return None
    return {int(each["cpu-index"]): int(each["current-rate"]) * MEBIBYTE for each in rates}
