"""Skipping a guest whose memory grows and shrinks: virtio-mem, plugged and unplugged before migrations and between.

What is not plugged is discarded: QEMU neither sends it nor counts it, and it holds nothing on either side. So nothing
is left out: every page of every RAM block is compared.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.serial_report import GuestReport
from fakedirty.lab.guests.workload import Workload, linux_words
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.qemu import qemu_binary
from fakedirty.lab.rig import Rig, compared
from fakedirty.qmp.client import Qmp
from migrating import wait
from series import let_through, rounds

MIB = 1 << 20
PAGE = 4096
OWN_MIB, REGION_MIB, PLUGGED_MIB = 160, 512, 256
WORKLOAD = Workload(
    fake=2000, changed=400, zero=400, aba=400, untouched=12_000, pause_ms=5, memory_mib=OWN_MIB + PLUGGED_MIB
)
BANDWIDTH = 10_000_000
LEAST_MS = 1


def arguments() -> tuple[str, ...]:
    """QEMU's, instead of those that a guest of this workload has."""
    region = f"memory-backend-ram,id=region,size={REGION_MIB}M"
    device = f"virtio-mem-pci,id=growing,memdev=region,requested-size={PLUGGED_MIB}M"
    words = linux_words(WORKLOAD).replace(" -- ", f" -- memory={PLUGGED_MIB + OWN_MIB // 4} ", 1)
    return ("-m", f"{OWN_MIB}M,maxmem=1G", "-object", region, "-device", device, "-append", words)


def state(qmp: Qmp) -> dict[str, Any]:
    """What QEMU reports of the device."""
    (device,) = qmp.execute("query-memory-devices")
    data: dict[str, Any] = device["data"]
    return data


def request(qmp: Qmp, mib: int) -> None:
    """Ask the guest to have so much of the region."""
    qmp.execute("qom-set", path="/machine/peripheral/growing", property="requested-size", value=mib * MIB)


def resize(vm: Machine, mib: int) -> None:
    """The same, and wait until the guest has done it."""
    request(vm.qmp, mib)
    wait(lambda: state(vm.qmp)["size"] == mib * MIB)


def test_all_plugged_memory_is_equal_and_nothing_is_left_out() -> None:
    parameters = {"fake-dirty-mode": "skip", "fake-dirty-switchover": False, "fake-dirty-audit": True}
    settings = Settings(LEAST_MS, BANDWIDTH, parameters=parameters)
    reports: list[GuestReport] = []
    sizes: list[int] = []

    def ready(report: GuestReport) -> bool:
        reports.append(report)
        return report.ready

    with ExitStack() as stack:
        network = stack.enter_context(shaped_network())
        bench = Rig(qemu_binary(), build_guest("linux"), WORKLOAD, network, more=arguments(), name="growing")
        source = stack.enter_context(bench.source(ready))
        first = state(source.qmp)["memaddr"] // PAGE
        in_region = [
            frame for frames in reports[-1].sets.values() for frame in frames if 0 <= frame - first < REGION_MIB * 256
        ]
        resize(source, 128)
        resize(source, 224)

        with bench.destination() as destination:
            steps = [
                Step(lambda qmp: request(qmp, PLUGGED_MIB), after_round=1),  # refused to the guest as long as it runs
                Step(lambda qmp: sizes.append(state(qmp)["size"]), after_round=4),
                Step(lambda qmp: qmp.execute("migrate_cancel"), after_round=4),
            ]
            assert migrate(source, destination, settings, time_limit=240, steps=steps).status == "cancelled"
        discarded_before, bulk_before = discarded(224), rounds(source.qmp)[0]
        resize(source, 96)
        resize(source, 160)

        destination = stack.enter_context(bench.destination())
        outcome = migrate(source, destination, settings, time_limit=240, steps=[let_through(after_round=8)])
        assert outcome.status == "completed"
        assert state(destination.qmp)["size"] == state(source.qmp)["size"] == 160 * MIB
        report = compared(source, destination)
        history = rounds(source.qmp)
    skipped = sum(each["skipped"] for each in history)
    print(
        f"{report.pages:,} pages, {discarded(160):,} of them discarded, {len(in_region):,} of the guest's sets in the "
        f"region; {len(report.differing):,} differ; skipped {skipped:,} in {len(history)} rounds"
    )
    assert report.equal, str(report)
    assert {block.name.rsplit("/")[-1]: block.pages for block in report.blocks}["region"] == discarded(0)
    assert len(in_region) == sum(WORKLOAD.counts.values())
    assert sizes == [224 * MIB]
    assert bulk_before["dirty"] == report.pages - discarded_before
    assert history[0]["dirty"] == report.pages - discarded(160)
    assert skipped > WORKLOAD.fake
    assert outcome.final["fake-dirty"]["false-equal"] == 0


def discarded(plugged_mib: int) -> int:
    """Pages of the region that are not plugged."""
    return (REGION_MIB - plugged_mib) * MIB // PAGE
