"""A migration that is cancelled is reported as cancelled, whatever its thread meets while the channel is shut down."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.qmp.client import Qmp
from migrating import wait
from series import SLOW, TIGHT_MS, pair

HELD_SECONDS = 1.5  # the migration thread writes many times in that


@contextmanager
def held_after_shutdown(pid: int, log: Path) -> Iterator[None]:
    """Within the block, the main thread of QEMU waits after each ``shutdown()``; its other threads go on."""
    held = f"inject=shutdown:delay_exit={HELD_SECONDS * 1e6:.0f}"
    with log.open("w") as output:
        tracer = subprocess.Popen(["strace", "-p", str(pid), "-e", "trace=shutdown", "-e", held], stderr=output)
    try:
        wait(lambda: "attached" in log.read_text() or tracer.poll() is not None)
        yield
        assert tracer.poll() is None, log.read_text()
        assert "(DELAYED)" in log.read_text()
    finally:
        tracer.terminate()  # it lets go of QEMU
        tracer.wait()


def cancel(qmp: Qmp, pid: int, log: Path) -> None:
    """Cancel, and hold QEMU where it has shut a direction of the channel down."""
    with held_after_shutdown(pid, log):
        qmp.execute("migrate_cancel")


def test_a_migration_does_not_fail_by_being_cancelled(tmp_path: Path) -> None:
    """The return path is shut down as well, and it is the socket that the migration thread writes to."""
    settings = Settings(TIGHT_MS, SLOW, capabilities={"return-path": True})
    with pair() as (source, destination):
        step = Step(partial(cancel, pid=source.pid, log=tmp_path / "log"), after_round=1)
        outcome = migrate(source, destination, settings, time_limit=60, steps=[step])
        assert outcome.status == "cancelled", outcome.final
