"""The demo on Debian's own QEMU, from boot to the comparison of memory."""

from __future__ import annotations

from pathlib import Path

import fakedirty
import pytest
from test_lab_demo import demo


def test_demo_of_a_stock_qemu_observes_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (run,) = demo(capsys, tmp_path, "--stock")
    rounds = fakedirty.load(tmp_path).rounds
    assert run["treatment"] == "stock"
    assert rounds["fake_pages"].sum() > rounds["changed_pages"].sum() > 0
    assert rounds["skipped_pages"].sum() == 0
