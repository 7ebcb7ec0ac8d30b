"""*A/B: skip on against off*: two migrations side by side, and all VMs of the chosen hosts by mode."""

from __future__ import annotations

from . import notes, variables
from .board import Board
from .looks import gauges, lines, number, side_by_side
from .panel import Panel
from .query import greatest, hashing_and_saved, of_hosts, of_vm, total

WITHOUT, WITH = "without skip", "with skip"
SKIPPING = f"{of_hosts('fakedirty_mode', fakedirty_mode='skip')} == 1"


def without(metric: str, **labels: str) -> str:
    """The series of `metric` of the migration without skip, at the time that `ago` selects."""
    return f"{of_vm(metric, 'vm_without', **labels)} offset $ago"


def both(metric: str, **labels: str) -> dict[str, str]:
    """One number for each of the two migrations."""
    return {WITHOUT: greatest(without(metric, **labels)), WITH: greatest(of_vm(metric, **labels))}


def sums(metric: str, **labels: str) -> dict[str, str]:
    """The sum over the last rounds, for each of the two migrations."""
    return {WITHOUT: total(without(metric, **labels)), WITH: total(of_vm(metric, **labels))}


def by_round(metric: str, **labels: str) -> dict[str, str]:
    """The value in each round, for each of the two migrations."""
    return {WITHOUT: total(without(metric, **labels), "round"), WITH: total(of_vm(metric, **labels), "round")}


def rounds(durations: str, others: str) -> str:
    """How many rounds there are: those with a series (`durations`), and all others (`others`)."""
    return f"count({durations}) + {greatest(others)}"


def by_mode(counter: str, **labels: str) -> dict[str, str]:
    """How fast `counter` grows per second, for VMs in mode skip and for all others."""
    rate = f"rate({of_hosts(counter, **labels)}[$__rate_interval])"
    return {
        WITHOUT: total(f"{rate} unless on (job, instance, vm) ({SKIPPING})"),
        WITH: total(f"{rate} and on (job, instance, vm) ({SKIPPING})"),
    }


PANELS = (
    Panel(
        "Total time",
        "As query-migrate reports it.",
        "s",
        both("fakedirty_migration_duration_seconds"),
        number,
        6,
        4,
    ),
    Panel(
        "Downtime",
        "As query-migrate reports it.",
        "s",
        both("fakedirty_migration_downtime_seconds"),
        number,
        6,
        4,
    ),
    Panel(
        "Sent",
        "Bytes that the last 64 rounds sent.",
        "decbytes",
        sums("fakedirty_round_transferred_bytes"),
        number,
        6,
        4,
    ),
    Panel(
        "Rounds",
        "Finished rounds.",
        "short",
        {
            WITHOUT: rounds(without("fakedirty_round_duration_seconds"), without("fakedirty_rounds_not_shown")),
            WITH: rounds(of_vm("fakedirty_round_duration_seconds"), of_vm("fakedirty_rounds_not_shown")),
        },
        number,
        6,
        4,
    ),
    Panel(
        "Left pages, by round",
        "Pages that are still dirty when the next round begins. If a migration converges, they become fewer.",
        "short",
        by_round("fakedirty_round_left_pages"),
        side_by_side,
        12,
    ),
    Panel(
        "Bytes sent, by round",
        "What each round cost on the wire.",
        "decbytes",
        by_round("fakedirty_round_transferred_bytes"),
        side_by_side,
        12,
    ),
    Panel(
        "Pages sent in full, by round",
        "Normal pages. With skip, fake pages are not among them.",
        "short",
        by_round("fakedirty_round_page_dispositions", disposition="normal"),
        side_by_side,
        12,
    ),
    Panel(
        "Duration, by round",
        "How long each round took.",
        "s",
        by_round("fakedirty_round_duration_seconds"),
        side_by_side,
        12,
    ),
    Panel(
        "What the verdict had said",
        "The total time that was predicted for the migration without skip: as it is, and with skip. There is no time "
        "for a plan that does not converge, or if the verdict is withdrawn.",
        "s",
        {"{{plan}}, {{estimate}}": greatest(without("fakedirty_verdict_total_time_seconds"), "plan", "estimate")},
        gauges,
        12,
    ),
    Panel(
        "What hashing cost, and what it saved",
        "Two times of the migration with skip, in the last rounds in which pages could be skipped. Hashing is the time "
        "spent on copying and hashing pages. Saved is the time in which the fastest round would have sent the skipped "
        "pages.",
        "s",
        hashing_and_saved(),
        gauges,
        12,
    ),
    Panel(
        "Bytes sent, by mode",
        "Bytes per second, over all VMs of the chosen hosts whose mode is seen, counted at the end of each round.",
        "Bps",
        by_mode("fakedirty_transferred_bytes_total"),
        lines,
        12,
    ),
    Panel(
        "Fake pages, by mode",
        "Pages per second, over all VMs of the chosen hosts. Without skip they are sent again, with skip they are not.",
        "cps",
        by_mode("fakedirty_pages_total", class_="fake"),
        lines,
        12,
    ),
)

BOARD = Board(
    "fakedirty-ab",
    "A/B: skip on against off",
    "Two migrations of two VMs, or of one VM at two times. Each is the last one before the end of the time range. "
    "For the one without skip, you can choose an earlier end.",
    (
        variables.datasource(),
        variables.job(),
        variables.host(),
        variables.vm("vm_without", "VM without skip"),
        variables.ago("ago", "earlier by"),
        variables.vm("vm", "VM with skip"),
    ),
    notes.of_all,
    PANELS,
)
