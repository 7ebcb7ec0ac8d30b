"""What Linux writes, classified by the series; what bare metal writes, at level usdt, by a sample there, under KVM."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.lab.accelerator import choose_accelerator
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Level, Mode
from test_guest_truth import BAREMETAL, bare_metal_is_classified_from_outside, linux_is_classified, migrated
from test_observe_sampled import one_page_of_four


def test_linux_is_classified(tmp_path: Path) -> None:
    linux_is_classified(Level.PATCHED, Mode.OBSERVE, tmp_path)


def test_bare_metal_is_classified_at_level_usdt(tmp_path: Path) -> None:
    bare_metal_is_classified_from_outside(Level.USDT, tmp_path)


def test_one_page_of_four_at_level_usdt(tmp_path: Path) -> None:
    one_page_of_four(Level.USDT, tmp_path)


def test_bare_metal_is_classified_under_kvm_where_that_runs_it(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    accelerator = choose_accelerator(qemu_binary(), build_guest("baremetal"))
    record_property("accelerator", str(accelerator))
    print(f"accelerator: {accelerator}")
    _, verdict = migrated("baremetal", BAREMETAL, Mode.OBSERVE, tmp_path, accelerator=accelerator.name)
    assert verdict.right_share == 1, str(verdict)
