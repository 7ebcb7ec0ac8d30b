"""The QEMU series itself: modes toggled at any moment, and never a wrong page at the destination."""

from __future__ import annotations

import random
import threading
import time

import pytest
from fakedirty.errors import QmpError
from fakedirty.lab.machine import machine
from fakedirty.lab.migrate import PORT, Settings, Step, migrate
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import read_mode, set_mode
from series import SLOW, STRONG, TIGHT_MS, WEAK, assert_equal, bench, pair, rounds, toggling

CONFLICTS = ("dirty-bitmaps", "background-snapshot")


@pytest.mark.parametrize("seed", range(6))
def test_toggles_at_random_moments_leave_memory_equal(seed: int) -> None:
    chance = random.Random(seed)
    xbzrle = seed % 2 == 1
    # from round 3 on, so that round 2 skips in any case; without xbzrle rounds are longer
    last = 60 if xbzrle else 8
    moments = [chance.randint(3, last) for _ in range(chance.randint(4, 12))]
    hashes = chance.sample(STRONG + WEAK, 2)
    steps = [Step(toggling(chance.choice(list(Mode)), chance.choice(hashes)), after_round=moment) for moment in moments]
    settings = Settings(
        TIGHT_MS,
        chance.randint(SLOW // 2, SLOW * 2),
        parameters={
            "fake-dirty-mode": "skip",
            "fake-dirty-hash": hashes[0],
            "fake-dirty-allow-weak-hash": True,
            "fake-dirty-audit": chance.random() < 0.5,
            "fake-dirty-switchover": chance.random() < 0.5,
        },
        capabilities={"xbzrle": xbzrle, "auto-converge": chance.random() < 0.3},
    )
    with pair() as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=6, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
        assert len(history) > 2
        assert outcome.final["fake-dirty"]["skipped"] > 0
        ram = outcome.final["ram"]
        assert sum(each["normal"] for each in history) == ram["normal"]
        assert sum(each["zero"] for each in history) == ram["duplicate"]


def test_a_cancelled_migration_leaves_nothing_for_the_next() -> None:
    with bench() as both, both.source() as source:
        address = both.network.destination.address
        settings = {"fake-dirty-mode": "skip", "max-bandwidth": SLOW, "downtime-limit": TIGHT_MS}
        source.qmp.execute("migrate-set-parameters", settings)
        with both.destination() as destination:
            destination.qmp.execute("migrate-incoming", uri=f"tcp:{address}:{PORT}")
            source.qmp.execute("migrate", uri=f"tcp:{address}:{PORT}")
            while len(rounds(source.qmp)) < 2:
                time.sleep(0.05)
            source.qmp.execute("migrate_cancel")
            while (info := source.qmp.execute("query-migrate"))["status"] != "cancelled":
                time.sleep(0.05)
        assert info["fake-dirty"]["skipped"] > 0, "totals are there for a cancelled migration, too"
        assert info["fake-dirty"]["table-bytes"] == 0
        assert len(rounds(source.qmp)) >= 2

        with both.destination() as second:
            outcome = migrate(source, second, Settings(TIGHT_MS, SLOW), time_limit=4)
            assert outcome.status == "completed"
            assert_equal(source, second)
            history = rounds(source.qmp)
        assert history[0]["first"] == history[0]["visited"], "a retried migration starts with no record"


def test_skip_brings_an_end_where_the_mode_off_does_not() -> None:
    limit_ms = 100  # 1,000 pages at this bandwidth: more than change in a sweep, fewer than are rewritten
    for mode, converges in ((Mode.OFF, False), (Mode.SKIP, True)):
        with pair() as (source, destination):
            settings = Settings(limit_ms, 40_000_000, parameters={"fake-dirty-mode": str(mode)})
            outcome = migrate(source, destination, settings, time_limit=6)
            assert outcome.status == "completed"
            assert outcome.converged is converges, outcome.measured
            assert_equal(source, destination)


@pytest.mark.parametrize("capability", CONFLICTS)
def test_what_cannot_be_safe_is_refused_in_either_order(capability: str) -> None:
    wanted = [{"capability": capability, "state": True}]
    with machine("refusing", qemu_binary(), ["-m", "16", "-S"]) as vm:
        set_mode(vm.qmp, Mode.OBSERVE)
        with pytest.raises(QmpError, match=f"(?i)fake-dirty-mode 'observe' is not compatible with.*{capability}"):
            vm.qmp.execute("migrate-set-capabilities", capabilities=wanted)
        states = {each["capability"]: each["state"] for each in vm.qmp.execute("query-migrate-capabilities")}
        assert not states[capability]

        set_mode(vm.qmp, Mode.OFF)
        vm.qmp.execute("migrate-set-capabilities", capabilities=wanted)
        with pytest.raises(QmpError, match=f"fake-dirty-mode 'skip' is not compatible with.*{capability}"):
            set_mode(vm.qmp, Mode.SKIP)
        assert read_mode(vm.qmp)[0] is Mode.OFF


def test_a_hash_that_is_not_built_in_is_refused_by_name() -> None:
    with machine("refusing", qemu_binary(), ["-m", "16", "-S"]) as vm:
        with pytest.raises(QmpError, match=r"no hash 'blake3', only .*xxh3-64"):
            set_mode(vm.qmp, Mode.SKIP, "blake3")
        with pytest.raises(QmpError, match="does not accept value 'blake3'"):
            vm.qmp.execute("migrate-set-parameters", {"fake-dirty-hash": "blake3"})
        assert read_mode(vm.qmp) == (Mode.OFF, "xxh3-64")


@pytest.mark.parametrize("hash", WEAK)
def test_a_weak_hash_needs_permission_to_skip_in_either_order(hash: str) -> None:
    with machine("weak", qemu_binary(), ["-m", "16", "-S"]) as vm:
        set_mode(vm.qmp, Mode.OBSERVE, hash)
        with pytest.raises(QmpError, match=f"'{hash}' is too weak .* set fake-dirty-allow-weak-hash"):
            set_mode(vm.qmp, Mode.SKIP)
        vm.qmp.execute("migrate-set-parameters", {"fake-dirty-allow-weak-hash": True})
        assert set_mode(vm.qmp, Mode.SKIP) == (Mode.SKIP, hash)
        with pytest.raises(QmpError, match="too weak"):
            vm.qmp.execute("migrate-set-parameters", {"fake-dirty-allow-weak-hash": False})
        assert read_mode(vm.qmp) == (Mode.SKIP, hash)


@pytest.mark.parametrize("hash", STRONG)
def test_an_audit_finds_every_skipped_page_equal(hash: str) -> None:
    parameters = {"fake-dirty-mode": "skip", "fake-dirty-hash": hash, "fake-dirty-audit": True}
    with pair() as (source, destination):
        outcome = migrate(source, destination, Settings(TIGHT_MS, SLOW, parameters=parameters), time_limit=2)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        totals = outcome.final["fake-dirty"]
        assert totals["false-equal"] == 0
        assert totals["audited"] == totals["fake"] == totals["skipped"] > 0


def test_the_mode_is_a_global_and_a_human_command_too() -> None:
    arguments = ["-m", "16", "-S", "-global", "migration.fake-dirty-mode=observe"]
    with machine("human", qemu_binary(), arguments) as vm:
        assert read_mode(vm.qmp)[0] is Mode.OBSERVE
        said = vm.qmp.execute("human-monitor-command", {"command-line": "migrate_set_parameter fake-dirty-mode skip"})
        assert said == ""
        said = vm.qmp.execute("human-monitor-command", {"command-line": "info migrate_parameters"})
        assert "fake-dirty-mode: skip" in said


def test_queries_are_answered_while_pages_are_skipped() -> None:
    """Not how fast: only that nobody waits for the end of a round."""
    answers = []
    with pair() as (source, destination):
        stop = threading.Event()

        def ask() -> None:
            with Qmp.connect(source.observer_socket) as qmp:
                while not stop.is_set():
                    answers.append(qmp.execute("query-migration-rounds")["rounds"])

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            settings = Settings(TIGHT_MS, SLOW, parameters={"fake-dirty-mode": "skip"})
            assert migrate(source, destination, settings, time_limit=3).status == "completed"
        finally:
            stop.set()
            asking.join()
        assert_equal(source, destination)
    assert len(answers) > 100
    lengths = [len(answer) for answer in answers]
    assert lengths == sorted(lengths), "the history only grows"
