"""A link that gets slower in mid-migration: what fitted the downtime limit before is no longer believed to fit it.

Nothing is measured in seconds here. What is held is how many pages a switchover sends, against how many the link as it
is carries within the limit. A guest that gets little of the processor writes fewer pages, which may fit.
"""

from __future__ import annotations

import pytest
from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.lab.network import GIGABIT
from series import assert_equal, bench, rounds, setting

AVAILABLE = "avail-switchover-bandwidth"
NEVER, OF_THE_LINK = 1000, 0  # bytes/s; less than a page fits any limit

# What changes in a round takes the link, however slow, less than three quarters of the round: no round is evidence of
# what the link carries. All that is dirty, sent as a probe, fills it, and is several times what the buffers of a socket
# hold, which take bytes sooner than the link carries them.
MOSTLY_FAKE = Workload(fake=5_000, changed=660, untouched=500, pause_ms=0, memory_mib=128)
SLOW_LINK = GIGABIT // 5
LIMIT_MS = 60

FALLS, ASKED = 2.0, 5.0  # seconds; what is known of a link is forgotten after one
PATIENT, LONG_ENOUGH = 60.0, 12.0
TOLERANCE = 1.2


def carried(bits_per_second: int) -> float:
    """Pages within the downtime limit."""
    return bits_per_second / 8 * LIMIT_MS / 1000 / PAGE_BYTES


@pytest.mark.parametrize(
    ("link_bits", "seconds"), [(GIGABIT, PATIENT), (SLOW_LINK, LONG_ENOUGH)], ids=["stays", "falls"]
)
def test_a_switchover_sends_no_more_than_the_link_carries_as_it_is(link_bits: int, seconds: float) -> None:
    assert carried(SLOW_LINK) * TOLERANCE < MOSTLY_FAKE.changed < carried(GIGABIT) / 2
    settings = Settings(LIMIT_MS, parameters={"fake-dirty-mode": "skip", AVAILABLE: NEVER})
    with bench(MOSTLY_FAKE) as both, both.source() as source, both.destination() as destination:
        assert both.network
        link = both.network.source
        steps = [
            Step(lambda _qmp: link.shape(link_bits), after_seconds=FALLS),
            Step(setting({AVAILABLE: OF_THE_LINK}), after_seconds=ASKED),
        ]
        outcome = migrate(source, destination, settings, time_limit=seconds, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        last = rounds(source.qmp)[-1]
    assert last["kind"] == "switchover"
    if outcome.converged:
        assert last["normal"] + last["zero"] + last["xbzrle"] <= carried(link_bits) * TOLERANCE
    else:
        assert link_bits == SLOW_LINK, "it fits this link by far"
