"""What TCG notices of a guest's writes after a bitmap sync: in every RAM block, whatever was dirty already.

RAM blocks of multiples of 64 pages take the fast path of QEMU's bitmap sync, as most guests' do. Without the second
patch of the series that path tells the TLB of the wrong block, and of nothing if no page is newly dirty: writes are
lost, in any mode.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fakedirty.lab.guest_workload import Workload
from fakedirty.lab.migrate import Settings, Step, migrate
from series import SLOW, TIGHT_MS, assert_equal, bench, let_through

# a guest that never rests, and sets of pages that lie in both blocks
SMALL = Workload(fake=300, changed=300, zero=300, aba=300, pause_ms=0, memory_mib=16, stride=2)
ONE_BLOCK: Sequence[str] = ()
TWO_BLOCKS: Sequence[str] = [
    word
    for name in ("low", "high")
    for word in ("-object", f"memory-backend-ram,id={name},size=8M", "-numa", f"node,memdev={name}")
]


@pytest.mark.parametrize("mode", ["off", "skip"])
@pytest.mark.parametrize("blocks", [ONE_BLOCK, TWO_BLOCKS], ids=["one block", "two blocks"])
def test_no_write_is_lost_however_often_a_migration_is_tried(blocks: Sequence[str], mode: str) -> None:
    parameters = {"fake-dirty-mode": mode, "fake-dirty-switchover": False}
    settings = Settings(TIGHT_MS, SLOW, parameters=parameters)
    cancel = Step(lambda qmp: qmp.execute("migrate_cancel"), after_round=3)
    with bench(SMALL, blocks) as both, both.source() as source:
        for _ in range(2):
            with both.destination() as destination:
                outcome = migrate(source, destination, settings, time_limit=60, steps=[cancel])
                assert outcome.status == "cancelled"
        with both.destination() as destination:
            outcome = migrate(source, destination, settings, time_limit=60, steps=[let_through(after_round=6)])
            assert outcome.status == "completed"
            assert_equal(source, destination)
