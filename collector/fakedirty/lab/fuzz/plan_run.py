"""Carries out one plan: all of its attempts, from one source."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from fakedirty.errors import LabError, QmpError
from fakedirty.lab.accelerator import accelerator_argument
from fakedirty.lab.migrate import Settings
from fakedirty.lab.rig import Rig

from .attempts import Attempts
from .plans.memory_layouts import ARGUMENTS
from .plans.plan import Plan
from .plans.route import FileRoute
from .result import FuzzResult
from .small_sockets import LARGE_DEVICE_STATE

AGAIN = ("cancelled", "failed")


def run_plan(plan: Plan, rig: Rig) -> FuzzResult:
    """Carry out a plan.

    Args:
        plan: to carry out.
        rig: QEMU, guest and network; the plan decides all else.

    Returns:
        The result. Errors of the laboratory are among its errors.
    """
    result = FuzzResult(plan)
    start = time.monotonic()
    network = rig.network
    if network:
        network.source.shape(plan.link_bits or network.bits_per_second)
    rig = replace(
        rig,
        workload=plan.workload,
        accelerator=accelerator_argument(plan.accelerator, plan.ring),
        more=(
            *("-smp", str(plan.vcpus)),
            *ARGUMENTS[plan.memory](plan.workload.memory_mib),
            *(plan.multifd.arguments if plan.multifd else ()),
            *(LARGE_DEVICE_STATE if plan.has_large_device_state else ()),
        ),
        name=f"fuzz-{plan.index}",
    )
    try:
        with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory, rig.source() as source:
            source.qmp.execute("migrate-set-parameters", plan.parameters)
            attempts = Attempts(result, source, rig, migration_settings(plan, Path(directory) / "guest"))
            for number in range(len(plan.attempts)):
                if attempts.run_until_connected(number) not in AGAIN:
                    break  # completed: a cancel may be too late
    except (LabError, QmpError) as error:
        result.errors.append(str(error))
    result.seconds = time.monotonic() - start
    return result


def migration_settings(plan: Plan, file: Path) -> Settings:
    """The settings of all attempts of a plan; `file` is where those go that migrate into a file."""
    multifd, route = plan.multifd, plan.route
    return Settings(
        plan.downtime_limit_ms,
        plan.bandwidth_bytes,
        plan.parameters,
        {**plan.capabilities, "multifd": multifd is not None, **(route.capabilities if route else {})},
        {**(multifd.shared if multifd else {}), **(route.shared if route else {})},
        file if isinstance(route, FileRoute) else None,
    )
