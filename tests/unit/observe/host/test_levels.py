"""Which level a QEMU gets, what a process lacks, and what the observer does with sinks."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.errors import TargetError, UsageError
from fakedirty.model.enums import Level
from fakedirty.observe.decode import blind_spots
from fakedirty.observe.host import capabilities, levels, migration_capabilities
from fakedirty.observe.host.target import Target
from fakedirty.observe.live import LiveTrace


def status(path: Path, effective: int) -> Path:
    path.write_text(f"Name:\tx\nCapInh:\t0\nCapEff:\t{effective:016x}\n")
    return path


def target(tmp_path: Path, exe: str) -> Target:
    return Target(2**22 + 1, "vm", tmp_path / exe, exe, 1, ())


BPF, PERFMON, PTRACE, ADMIN = 1 << 39, 1 << 38, 1 << 19, 1 << 21


@pytest.mark.parametrize(
    ("effective", "strict_kernel", "lacking"),
    [
        (2**41 - 1, True, set()),
        (0, True, {"CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"}),
        (BPF | PTRACE, True, {"CAP_PERFMON"}),
        (BPF | PERFMON | PTRACE, False, set()),
        (BPF | PERFMON | PTRACE, True, {"CAP_SYS_ADMIN"}),
        (ADMIN, True, {"CAP_SYS_PTRACE"}),
    ],
)
def test_missing_capabilities(tmp_path: Path, effective: int, strict_kernel: bool, lacking: set[str]) -> None:
    found = capabilities.missing(status(tmp_path / "status", effective), lambda: not strict_kernel)
    assert set(found) == lacking
    assert all(found.values())


def test_a_user_without_capabilities_is_told_what_works(tmp_path: Path) -> None:
    user = status(tmp_path / "user", 0)
    assert "CAP_BPF" in levels.inability(user)
    assert "qmp works without" in levels.inability(user)


def test_without_anything_there_is_no_level_but_reasons(tmp_path: Path) -> None:
    choice = levels.choose(target(tmp_path, "absent"), qmp_reachable=False)
    assert choice.level is None
    assert set(choice.reasons) == set(Level)
    assert levels.choose(target(tmp_path, "absent"), qmp_reachable=True).level is Level.QMP


def test_an_executable_without_the_functions_says_which(tmp_path: Path) -> None:
    reasons = levels.choose(Target(1, "vm", Path("/bin/true"), "true", 1, ()), qmp_reachable=True).reasons
    assert "qemu_put_buffer_async" in reasons[Level.STOCK]
    assert "fake_dirty_batch" in reasons[Level.PATCHED]


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    gone = target(tmp_path, "absent")
    with pytest.raises(UsageError, match="no page records"):
        LiveTrace(gone, Level.QMP, pages=True)
    with pytest.raises(TargetError, match="--qmp"):
        LiveTrace(gone, Level.QMP)
    with pytest.raises(TargetError, match="gone"):
        LiveTrace(gone, Level.STOCK).open()


def test_ways_past_the_probes_in_words() -> None:
    assert blind_spots.reasons(0, Level.STOCK) == ""
    assert blind_spots.reasons(0b11, Level.STOCK).count(";") == 1
    assert "xbzrle" not in blind_spots.reasons(0b11, Level.USDT)


def test_multifd_has_no_consequence_where_its_packets_are_seen() -> None:
    assert "multifd" in migration_capabilities.consequences(["multifd"], Level.USDT)["multifd"]
    assert migration_capabilities.consequences(["multifd"], Level.USDT, counts_channels=True) == {}
    assert migration_capabilities.consequences(["multifd", "mapped-ram"], Level.STOCK, counts_channels=True).keys() == {
        "mapped-ram"
    }
