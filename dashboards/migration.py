"""*One migration, round by round*: which pages of a VM's last migration are fake, what is sent, what skip saves."""

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
    """A number in the rows at the top."""
    return Panel(title, description, unit, {title.lower(): query}, look, 4, 4)


def plan(title: str, description: str, name: str) -> Panel:
    """Whether the migration converges in the plan `name` (``as-is`` or ``skip``)."""
    refuted = greatest(of_vm("fakedirty_verdict_refuted"))
    query = withdrawn_or(greatest(of_vm("fakedirty_verdict_converges", plan=name)), refuted)
    return Panel(title, description, "short", {title.lower(): query}, word(CONVERGENCE), 4, 4)


def estimates(title: str, what: str, metric: str) -> Panel:
    """The predictions of `metric` for both plans."""
    text = f"{what} that is predicted, as it is and with skip: low, expected, and high (if there is an end at worst)."
    queries = {"{{plan}}, {{estimate}}": greatest(of_vm(metric), "plan", "estimate")}
    text += " There is none for a plan that does not converge, or if the verdict is withdrawn."
    return Panel(title, text, "s", queries, gauges, 12)


def needed(title: str, what: str, metric: str, unit: str) -> Panel:
    """The recommendations of `metric` for both plans."""
    text = f"{what}, as it is and with skip: low, expected, and high (if any would do at worst). None is recommended "
    text += "where the migration is expected to converge, if the verdict is withdrawn, or where nothing would do."
    queries = {"{{plan}}, {{estimate}}": greatest(of_vm(metric), "plan", "estimate")}
    return Panel(title, text, unit, queries, gauges, 8)


LOST = (
    f"{total(of_vm('instance_vm_where:fakedirty_lost_events:increase5m'))} "
    f"or 0 * {total(of_vm('fakedirty_migration_valid'))}"
)

PANELS = (
    plan("As it is", "Whether the migration is expected to converge as it is, by what was observed so far.", "as-is"),
    plan("With skip", "Whether the migration is expected to converge with skip.", "skip"),
    figure(
        "Unchanged",
        "The share of what is sent again that the destination already has: what skip could save.",
        "percentunit",
        greatest(of_vm("fakedirty_verdict_unchanged_ratio")),
    ),
    figure(
        "Fake share",
        "The share of fake pages in the classified pages of the last 64 rounds. A fake page was marked dirty, but held "
        "exactly what was last sent. If the bulk round is among these rounds, it has only first pages.",
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
        "Bytes that the last 64 rounds sent.",
        "decbytes",
        total(of_vm("fakedirty_round_transferred_bytes")),
    ),
    figure(
        "Saved",
        "Bytes that skipped pages would have cost in the last 64 rounds; with multifd an estimate.",
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
        "When the migration began, by the clock of its host.",
        "dateTimeAsIso",
        f"1000 * {greatest(of_vm('fakedirty_migration_start_time_seconds'))}",
    ),
    figure(
        "Lost events",
        "Events that never reached the collector, in the last 5 minutes. Their rounds are invalid.",
        "short",
        LOST,
        alarm,
    ),
    Panel(
        "Figures",
        "Valid means: every round obeys the laws of conservation, its sources agree, and no event was lost. Otherwise "
        "rounds.csv has the reason.",
        "short",
        {"valid": f"min({of_vm('fakedirty_migration_valid')})"},
        word(VALIDITY),
        4,
        4,
    ),
    figure(
        "Progress",
        "The share of the expected total time that has passed. It never falls, and is 100 % only when the migration "
        "has completed. There is none before an end has been predicted.",
        "percentunit",
        greatest(of_vm("fakedirty_progress_ratio")),
    ),
    Panel(
        "Stalled rounds",
        "Rounds in a row that left as much as the first of them found, if they are a stall (three or more); else 0.",
        "short",
        {"stalled rounds": greatest(of_vm("fakedirty_stalled_rounds"))},
        lines,
        8,
        4,
    ),
    Panel(
        "Time left",
        "Time to the predicted end: low, expected, and high (if there is an end at worst). There is none for a "
        "migration that is not expected to end, or if the verdict is withdrawn.",
        "s",
        {"{{estimate}}": greatest(of_vm("fakedirty_time_left_seconds"), "estimate")},
        lines,
        12,
        4,
    ),
    Panel(
        "Rounds by class",
        "Visited pages of each round (at most the last 64). Fake pages are those that skip does not send.",
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
        "Dirty pages are to be visited in a round. Left pages are still dirty when the next one begins. Do they fall?",
        "short",
        {"dirty": by_round("fakedirty_round_dirty_pages"), "left": by_round("fakedirty_round_left_pages")},
        side_by_side,
        12,
    ),
    estimates("Predicted total time", "Total time", "fakedirty_verdict_total_time_seconds"),
    estimates("Predicted downtime", "Downtime", "fakedirty_verdict_downtime_seconds"),
    Panel(
        "Downtime limit",
        "Limit is the downtime limit that the verdict uses: QEMU's own, or an assumed one if that could not be read. "
        "Needed is the limit from which on the migration is expected to converge, as it is and with skip.",
        "s",
        {
            "limit, {{source}}": greatest(of_vm("fakedirty_verdict_limit_seconds"), "source"),
            "needed, {{plan}}": greatest(of_vm("fakedirty_verdict_least_limit_seconds", estimate="expected"), "plan"),
        },
        gauges,
        24,
    ),
    needed(
        "Recommended bandwidth",
        "The least bandwidth with which it would converge, with the downtime limit that there is",
        "fakedirty_recommended_bandwidth_bytes_per_second",
        "Bps",
    ),
    needed(
        "Recommended downtime limit",
        "The least downtime limit with which it would converge, with the bandwidth that there is",
        "fakedirty_recommended_downtime_limit_seconds",
        "s",
    ),
    needed(
        "Recommended throttle",
        "The least share of CPU time to be taken from the guest with which it would converge",
        "fakedirty_recommended_throttle_ratio",
        "percentunit",
    ),
    Panel(
        "Where the downtime went",
        "The downtime of the migration by its parts, in which each moment counts once. The devices are added up; "
        "downtime.csv has each. Unexplained is the rest. Levels usdt and patched see the parts.",
        "s",
        {"{{part}}": greatest(of_vm("fakedirty_downtime_part_seconds"), "part")},
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
        "Two times, in the last rounds in which pages could be skipped. Hashing is the time spent on copying and "
        "hashing pages; with multifd the sum over the channels divided by their number, and absent if QEMU did not "
        "report whether multifd is on. Saved is the time in which the fastest round would have sent the skipped pages.",
        "s",
        hashing_and_saved(),
        gauges,
        12,
    ),
    Panel(
        "Bytes sent and saved",
        "Bytes per second, counted at the end of each round.",
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
        "Pages per second, counted at the end of each round.",
        "cps",
        {"{{class}}": per_second(of_vm("fakedirty_pages_total"), "class")},
        lines,
        12,
    ),
    Panel(
        "Pages that get dirty",
        "Pages that the guest dirties in a second of the last rounds; a page counts once in a round. By RAM block "
        "where page records are observed.",
        "cps",
        {
            "all": greatest(of_vm("fakedirty_dirty_rate_pages_per_second")),
            "{{block}}": greatest(of_vm("fakedirty_block_dirty_rate_pages_per_second"), "block"),
        },
        lines,
        12,
    ),
    Panel(
        "Bytes that vCPUs dirty",
        "By QEMU's own measurement, which it makes if the capability dirty-limit is on. Otherwise there is none.",
        "Bps",
        {"vCPU {{vcpu}}": greatest(of_vm("fakedirty_vcpu_dirty_rate_bytes_per_second"), "vcpu")},
        lines,
        12,
    ),
    Panel(
        "Mode",
        "The fake-dirty-mode that QEMU last adopted.",
        "short",
        {"mode": mode(of_vm("fakedirty_mode"))},
        states(MODES),
        12,
        5,
    ),
    Panel(
        "Which it is",
        "The migration that is shown: its id, as in the recordings, the host that it leaves, and the level.",
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
    "The last migration of a VM before the end of the time range: which pages are fake, what is sent, what skip saves. "
    "To see an earlier one, let the time range end at its end.",
    (variables.datasource(), variables.job(), variables.host(), variables.vm()),
    notes.of_one,
    PANELS,
)
