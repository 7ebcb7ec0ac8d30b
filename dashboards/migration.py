"""*One migration, round by round*: what of a VM's last migration is fake, what is sent, what skipping saves."""

from __future__ import annotations

from . import notes, variables
from .board import Board
from .looks import Look, alarm, bars, gauges, lines, number, rows, side_by_side, states, word
from .panel import Panel
from .query import greatest, hashing_and_saved, mode, of_vm, per_second, total, withdrawn_or
from .words import CONVERGENCE, MODES, VALIDITY

CLASSES = ("first", "changed", "fake")
DISPOSITIONS = ("normal", "zero", "xbzrle", "unchanged", "skipped")


def by_round(metric: str, **labels: str) -> str:
    """The value of `metric` in each round."""
    return total(of_vm(metric, **labels), "round")


def figure(title: str, description: str, unit: str, query: str, look: Look = number) -> Panel:
    """One of those at the top."""
    return Panel(title, description, unit, {title.lower(): query}, look, 4, 4)


def plan(title: str, description: str, name: str) -> Panel:
    """Whether it converges by a plan."""
    refuted = greatest(of_vm("fakedirty_verdict_refuted"))
    query = withdrawn_or(greatest(of_vm("fakedirty_verdict_converges", plan=name)), refuted)
    return Panel(title, description, "short", {title.lower(): query}, word(CONVERGENCE), 4, 4)


def estimates(title: str, what: str, metric: str) -> Panel:
    """What is predicted of both plans."""
    text = f"{what} that is predicted, as it is and with skip: low, expected, and high if there is an end at worst."
    queries = {"{{plan}}, {{estimate}}": greatest(of_vm(metric), "plan", "estimate")}
    text += " A plan that does not converge has none, nor has a verdict that is withdrawn."
    return Panel(title, text, "s", queries, gauges, 12)


LOST = (
    f"{total(of_vm('instance_vm_where:fakedirty_lost_events:increase5m'))} "
    f"or 0 * {total(of_vm('fakedirty_migration_valid'))}"
)

PANELS = (
    plan("As it is", "Whether it is expected to converge as it is, from what was observed so far.", "as-is"),
    plan("With skip", "Whether it would be expected to converge with skip.", "skip"),
    figure(
        "Unchanged",
        "Share of what is sent again that the destination has already: what skipping could save.",
        "percentunit",
        greatest(of_vm("fakedirty_verdict_unchanged_ratio")),
    ),
    figure(
        "Fake share",
        "Fake pages as a share of the classified pages: what was marked dirty though it held exactly what had been "
        "sent before. Of its last 64 rounds; a bulk round among them has first pages only.",
        "percentunit",
        f"{total(of_vm('fakedirty_round_pages', class_='fake'))} / {total(of_vm('fakedirty_round_pages'))}",
    ),
    figure(
        "Total time",
        "As query-migrate reports it.",
        "s",
        greatest(of_vm("fakedirty_migration_duration_seconds")),
    ),
    figure(
        "Downtime",
        "As query-migrate reports it.",
        "s",
        greatest(of_vm("fakedirty_migration_downtime_seconds")),
    ),
    figure(
        "Sent",
        "Bytes of its last 64 rounds.",
        "decbytes",
        total(of_vm("fakedirty_round_transferred_bytes")),
    ),
    figure(
        "Saved",
        "Bytes that skipped pages would have cost, in its last 64 rounds; with multifd an estimate.",
        "decbytes",
        total(of_vm("fakedirty_round_saved_bytes")),
    ),
    figure(
        "Rounds",
        "Finished rounds; the last 64 are shown below.",
        "short",
        f"count({of_vm('fakedirty_round_duration_seconds')}) + {greatest(of_vm('fakedirty_rounds_not_shown'))}",
    ),
    figure(
        "Begun",
        "When it began, by the clock of its host.",
        "dateTimeAsIso",
        f"1000 * {greatest(of_vm('fakedirty_migration_start_time_seconds'))}",
    ),
    figure(
        "Lost events",
        "Events that never reached the collector, in 5 minutes: rounds that they belong to are invalid.",
        "short",
        LOST,
        alarm,
    ),
    Panel(
        "Figures",
        "Whether every round obeys conservation, agrees between its sources, and lost no event. The reason stands in "
        "rounds.csv.",
        "short",
        {"valid": f"min({of_vm('fakedirty_migration_valid')})"},
        word(VALIDITY),
        4,
        4,
    ),
    Panel(
        "Rounds by class",
        "Visited pages of each round (at most its last 64). Fake pages are those that skipping would not send.",
        "short",
        {name: by_round("fakedirty_round_pages", class_=name) for name in CLASSES},
        bars,
        12,
    ),
    Panel(
        "Rounds by disposition",
        "What became of the visited pages of each round.",
        "short",
        {name: by_round("fakedirty_round_page_dispositions", disposition=name) for name in DISPOSITIONS},
        bars,
        12,
    ),
    Panel(
        "Bytes sent and saved, by round",
        "Bytes sent in each round, and what its skipped pages would have cost on top.",
        "decbytes",
        {"sent": by_round("fakedirty_round_transferred_bytes"), "saved": by_round("fakedirty_round_saved_bytes")},
        bars,
        12,
    ),
    Panel(
        "Dirty and left pages, by round",
        "To be visited in each round, and still dirty when the next one begins: does it converge?",
        "short",
        {"dirty": by_round("fakedirty_round_dirty_pages"), "left": by_round("fakedirty_round_left_pages")},
        side_by_side,
        12,
    ),
    estimates("Predicted total time", "Total time", "fakedirty_verdict_total_time_seconds"),
    estimates("Predicted downtime", "Downtime", "fakedirty_verdict_downtime_seconds"),
    Panel(
        "Downtime limit",
        "The limit that the verdict goes by, as QEMU has it or assumed where it could not be read; and the limits from "
        "which on the migration is expected to converge, as it is and with skip.",
        "s",
        {
            "limit, {{source}}": greatest(of_vm("fakedirty_verdict_limit_seconds"), "source"),
            "needed, {{plan}}": greatest(of_vm("fakedirty_verdict_least_limit_seconds", estimate="expected"), "plan"),
        },
        gauges,
        24,
    ),
    Panel(
        "Duration, by round",
        "How long each round took.",
        "s",
        {"duration": by_round("fakedirty_round_duration_seconds")},
        bars,
        12,
    ),
    Panel(
        "Does hashing pay?",
        "In the last rounds in which pages could be skipped: time of copying and hashing, and what sending the skipped "
        "pages would have taken at the speed of the fastest round. With multifd hashing is the sum over its channels "
        "by their number, and not there where QEMU did not say whether multifd is on.",
        "s",
        hashing_and_saved(),
        gauges,
        12,
    ),
    Panel(
        "Bytes sent and saved",
        "Per second, told at the end of each round.",
        "Bps",
        {
            "sent": per_second(of_vm("fakedirty_transferred_bytes_total")),
            "saved": per_second(of_vm("fakedirty_saved_bytes_total")),
        },
        lines,
        12,
    ),
    Panel(
        "Pages by class",
        "Per second, told at the end of each round.",
        "cps",
        {"{{class}}": per_second(of_vm("fakedirty_pages_total"), "class")},
        lines,
        12,
    ),
    Panel(
        "Mode",
        "fake-dirty-mode as QEMU last adopted it.",
        "short",
        {"mode": mode(of_vm("fakedirty_mode"))},
        states(MODES),
        12,
        5,
    ),
    Panel(
        "Which it is",
        "The migration that is shown: its id, as in the recordings, the host it leaves, and how it is observed.",
        "short",
        {"migrations": total(of_vm("fakedirty_migration_info"), "instance", "migration_id", "level")},
        rows,
        12,
        5,
    ),
)

BOARD = Board(
    "fakedirty-migration",
    "One migration, round by round",
    "The last migration of a VM before the end of the time range: what is fake, what is sent, what skipping saves. To "
    "see an earlier one, let the time range end at its end.",
    (variables.datasource(), variables.job(), variables.host(), variables.vm()),
    notes.of_one,
    PANELS,
)
