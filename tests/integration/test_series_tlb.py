"""What TCG notices of a guest's writes after a bitmap sync: in every RAM block.

RAM blocks of multiples of 64 pages take the fast path of QEMU's bitmap sync, as most guests' do. Without the first
patch of the series that path tells the TLB of another block, unless it is the first: writes are lost, in any mode,
once the TLB has grown to hold all that the guest writes. It grows when it is flushed, as at each start of a migration.
"""

from __future__ import annotations

import pytest
from fakedirty.lab.fuzz.plans.memory_layouts import ARGUMENTS, TWO_BLOCKS
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, Step, migrate
from series import SLOW, TIGHT_MS, assert_equal, bench, let_through

# a guest that never rests, and sets of pages that lie in both blocks
RESTLESS = Workload(fake=653, changed=96, zero=254, aba=325, pause_ms=0, memory_mib=32, stride=3)


@pytest.mark.parametrize("mode", ["off", "skip"])
def test_no_write_is_lost_in_any_block_when_a_migration_is_retried(mode: str) -> None:
    parameters = {"fake-dirty-mode": mode, "fake-dirty-switchover": False}
    settings = Settings(TIGHT_MS, 2 * SLOW, parameters=parameters)
    cancel = Step(lambda qmp: qmp.execute("migrate_cancel"), after_round=3)
    with bench(RESTLESS, ARGUMENTS[TWO_BLOCKS](RESTLESS.memory_mib)) as both, both.source() as source:
        with both.destination() as destination:
            assert migrate(source, destination, settings, time_limit=30, steps=[cancel]).status == "cancelled"
        with both.destination() as destination:
            outcome = migrate(source, destination, settings, time_limit=30, steps=[let_through(after_round=6)])
            assert outcome.status == "completed"
            assert_equal(source, destination)
