"""*Migrations now*: which VMs of which hosts migrate, whether they will end, and whether skipping would help."""

from __future__ import annotations

from . import notes, variables
from .board import Board
from .links import to_the_migration
from .looks import alarm, lines, number, rows, states
from .panel import Panel
from .query import greatest, mode, of_hosts, per_second, total, where_judged, withdrawn_or
from .words import ACTIVITY, CONVERGENCE, MODES, VALIDITY, no_number, shown_as

VM = ("instance", "vm")
ACTIVE = f"{of_hosts('fakedirty_migration_active')} == 1"
REFUTED = greatest(of_hosts("fakedirty_verdict_refuted"), *VM)
TIME = {"unit": "s", "mappings": [no_number("-")]}


def converging(plan: str, verdict: int) -> str:
    """How many migrating VMs have this `verdict` for `plan`: 1 converges, 0 does not."""
    found = f"{of_hosts('fakedirty_verdict_converges', plan=plan)} == {verdict}"
    return f"count({found} and on (job, instance, vm) {ACTIVE}) or vector(0)"


def predicted(plan: str) -> str:
    """The expected total time in seconds; NaN if the verdict predicts none."""
    time = greatest(of_hosts("fakedirty_verdict_total_time_seconds", plan=plan, estimate="expected"), *VM)
    return where_judged(time, REFUTED)


def verdict(plan: str) -> str:
    """1 if the plan converges, 0 if not, 2 if the verdict is withdrawn."""
    return withdrawn_or(greatest(of_hosts("fakedirty_verdict_converges", plan=plan), *VM), REFUTED)


PAGES = "instance_class:fakedirty_pages:increase5m"

PANELS = (
    Panel(
        "Migrating",
        "VMs that migrate, over the chosen hosts.",
        "short",
        {"VMs": total(of_hosts("fakedirty_migration_active"))},
        number,
        4,
        4,
    ),
    Panel(
        "Will not end as they are",
        "VMs whose migration is not expected to converge as it is.",
        "short",
        {"VMs": converging("as-is", 0)},
        alarm,
        4,
        4,
    ),
    Panel(
        "Would end with skip",
        "VMs whose migration is expected to converge with skip, whether or not it would converge without.",
        "short",
        {"VMs": converging("skip", 1)},
        number,
        4,
        4,
    ),
    Panel(
        "Fake share",
        "The share of fake pages in all pages that were visited in the last 5 minutes, over the chosen hosts.",
        "percentunit",
        {"fake": f"{total(of_hosts(PAGES, class_='fake'))} / ({total(of_hosts(PAGES))} > 0)"},
        number,
        4,
        4,
    ),
    Panel(
        "Sent",
        "Bytes sent in the last 5 minutes, over the chosen hosts.",
        "decbytes",
        {"sent": total(of_hosts("instance:fakedirty_transferred_bytes:increase5m"))},
        number,
        4,
        4,
    ),
    Panel(
        "Saved",
        "Bytes that were not sent because their pages were skipped, in the last 5 minutes, over the chosen hosts.",
        "decbytes",
        {"saved": total(of_hosts("instance:fakedirty_saved_bytes:increase5m"))},
        number,
        4,
        4,
    ),
    Panel(
        "Last migration of each VM",
        "The verdict predicts, from what was observed so far, whether the migration converges, as it is and with skip, "
        "and how long it takes in all. There is no time for a plan that does not converge, or if the verdict is "
        "withdrawn. Unchanged is the share of what is sent again that the destination already has.",
        "short",
        {
            "state": total(of_hosts("fakedirty_migration_active"), *VM),
            "mode": mode(of_hosts("fakedirty_mode"), *VM),
            "as it is": verdict("as-is"),
            "takes": predicted("as-is"),
            "with skip": verdict("skip"),
            "would take": predicted("skip"),
            "unchanged": greatest(of_hosts("fakedirty_verdict_unchanged_ratio"), *VM),
            "left pages": total(of_hosts("fakedirty_left_pages"), *VM),
            "figures": f"min by ({', '.join(VM)}) ({of_hosts('fakedirty_migration_valid')})",
        },
        rows,
        24,
        9,
        {
            "vm": {"links": to_the_migration()},
            "state": shown_as(ACTIVITY),
            "mode": shown_as(MODES),
            "as it is": shown_as(CONVERGENCE),
            "takes": TIME,
            "with skip": shown_as(CONVERGENCE),
            "would take": TIME,
            "unchanged": {"unit": "percentunit"},
            "figures": shown_as(VALIDITY),
        },
    ),
    Panel(
        "Left pages",
        "Pages that are still dirty after the last finished round, by VM. If they fall, the migration converges.",
        "short",
        {"{{vm}}": total(of_hosts("fakedirty_left_pages"), "vm")},
        lines,
        12,
    ),
    Panel(
        "Pages by class",
        "Visited pages per second, over the chosen hosts, counted at the end of each round.",
        "cps",
        {"{{class}}": per_second(of_hosts("fakedirty_pages_total"), "class")},
        lines,
        12,
    ),
    Panel(
        "Bytes sent",
        "Bytes per second by VM, counted at the end of each round.",
        "Bps",
        {"{{vm}}": per_second(of_hosts("fakedirty_transferred_bytes_total"), "vm")},
        lines,
        12,
    ),
    Panel(
        "Bytes saved",
        "What skipped pages would have cost (with multifd an estimate), per second by VM, counted after each round.",
        "Bps",
        {"{{vm}}": per_second(of_hosts("fakedirty_saved_bytes_total"), "vm")},
        lines,
        12,
    ),
    Panel(
        "Migrating, by VM",
        "When each VM migrated.",
        "short",
        {"{{vm}}": greatest(of_hosts("fakedirty_migration_active"), "vm")},
        states(ACTIVITY),
        12,
    ),
    Panel(
        "Mode, by VM",
        "The fake-dirty-mode that QEMU last adopted.",
        "short",
        {"{{vm}}": mode(of_hosts("fakedirty_mode"), "vm")},
        states(MODES),
        12,
    ),
)

BOARD = Board(
    "fakedirty-now",
    "Migrations now",
    "Which VMs migrate, whether they will end, and whether skipping fake dirty pages would help.",
    (variables.datasource(), variables.job(), variables.host()),
    notes.of_all,
    PANELS,
)
