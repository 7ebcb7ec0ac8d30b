"""*Hosts and collector health*: are migrations observed, can the counts be trusted, and what does observing cost."""

from __future__ import annotations

from . import notes, variables
from .board import Board
from .looks import Look, alarm, heat, lines, number, rows, states
from .panel import Panel
from .query import TARGETS, greatest, of_hosts, per_second, total
from .words import UP

HOST = "{{instance}}"
#: selects, from Prometheus' own series, those of our collectors: targets that answered within the time range
OURS = f"and on (job, instance) last_over_time({of_hosts('fakedirty_build_info')}[$__range])"
ALERTS = f'ALERTS{{{TARGETS},alertname=~"Fakedirty.*",alertstate="firing"}}'
#: the value 0 for each host
NOTHING = f"0 * {of_hosts('instance:fakedirty_vms_migrating:sum')}"


def figure(title: str, description: str, query: str, look: Look = number) -> Panel:
    """A number in the row at the top."""
    return Panel(title, description, "short", {title.lower(): query}, look, 4, 4)


def by_host(title: str, description: str, query: str, unit: str = "short", legend: str = HOST) -> Panel:
    """A line for each host."""
    return Panel(title, description, unit, {legend: query}, lines, 12)


PANELS = (
    figure("Collectors", "Collectors that answer Prometheus.", total(f"{of_hosts('up')} {OURS}")),
    figure(
        "Down",
        "Collectors that answered within the time range, and do not answer now.",
        f"count({of_hosts('up')} == 0 {OURS}) or vector(0)",
        alarm,
    ),
    figure("Alerts", "Alerts of fakedirty that are firing.", f"count({ALERTS}) or vector(0)", alarm),
    figure("QEMUs", "QEMUs that are observed.", total(of_hosts("fakedirty_observed_qemus"))),
    figure(
        "Probes",
        "Probes that are attached in the kernels of the chosen hosts.",
        total(of_hosts("fakedirty_probes_attached")),
    ),
    figure(
        "VMs that migrate", "VMs that migrate at this moment.", total(of_hosts("instance:fakedirty_vms_migrating:sum"))
    ),
    Panel(
        "Collectors, by host",
        "Whether the collector answers Prometheus.",
        "short",
        {HOST: greatest(f"{of_hosts('up')} {OURS}", "instance")},
        states(UP),
        12,
    ),
    Panel(
        "QEMUs, by level",
        "How many QEMUs are observed at each level. Level patched sees most; then come usdt, stock and qmp.",
        "short",
        {"{{level}}": total(of_hosts("instance_level:fakedirty_qemus:count"), "level")},
        lines,
        12,
    ),
    by_host(
        "VMs that migrate, by host",
        "VMs that leave the host. A VM that comes is counted on the host that it leaves.",
        total(of_hosts("instance:fakedirty_vms_migrating:sum"), "instance"),
    ),
    by_host(
        "Migrations that are over, by outcome",
        "Migrations that ended in the last 5 minutes. Unfinished means that the end was not observed.",
        total(of_hosts("instance_outcome:fakedirty_migrations:increase5m"), "outcome"),
        legend="{{outcome}}",
    ),
    by_host(
        "Events lost",
        "Events that were lost in the last 5 minutes. Their rounds are invalid.",
        f"{total(of_hosts('instance_where:fakedirty_lost_events:increase5m'), 'instance')} "
        f"or {total(NOTHING, 'instance')}",
    ),
    by_host(
        "Invalid rounds",
        "Rounds of the last 5 minutes whose counts cannot be trusted. rounds.csv has the reason.",
        total(of_hosts("instance:fakedirty_invalid_rounds:increase5m"), "instance"),
    ),
    by_host(
        "Fake share, by host",
        "The share of fake pages in all pages that were visited, in the last 5 minutes.",
        greatest(of_hosts("instance:fakedirty_fake_per_visited_pages:ratio_increase5m"), "instance"),
        "percentunit",
    ),
    by_host(
        "Saved share, by host",
        "The share of skipped bytes in all bytes that would have been sent without skip, in the last 5 minutes.",
        greatest(of_hosts("instance:fakedirty_saved_per_unskipped_bytes:ratio_increase5m"), "instance"),
        "percentunit",
    ),
    by_host(
        "Hashing, by host",
        "Time spent on copying and hashing pages in the last 5 minutes; with multifd the sum over its channels.",
        total(of_hosts("instance:fakedirty_hash_seconds:increase5m"), "instance"),
        "s",
    ),
    by_host(
        "Skip switched off by the service",
        "Migrations per second in which policy.skip_off found that hashing cost more time than it saved.",
        per_second(of_hosts("fakedirty_policy_skip_off_total"), "instance"),
        "cps",
    ),
    Panel(
        "Rounds by their fake share",
        "Finished rounds of the chosen hosts. The lighter a field, the more rounds had this share of fake pages.",
        "short",
        {"{{le}}": total(f"increase({of_hosts('fakedirty_round_fake_ratio_bucket')}[$__rate_interval])", "le")},
        heat,
        12,
    ),
    Panel(
        "Rounds by their duration",
        "Finished rounds of the chosen hosts. The lighter a field, the more rounds took so many seconds.",
        "short",
        {"{{le}}": total(f"increase({of_hosts('fakedirty_round_time_seconds_bucket')}[$__rate_interval])", "le")},
        heat,
        12,
    ),
    Panel(
        "Scrapes",
        "How long a scrape takes: the collector's own part, and the whole as Prometheus sees it.",
        "s",
        {
            "collector {{instance}}": greatest(of_hosts("fakedirty_scrape_seconds"), "instance"),
            "Prometheus {{instance}}": greatest(f"{of_hosts('scrape_duration_seconds')} {OURS}", "instance"),
        },
        lines,
        12,
    ),
    by_host(
        "Samples of a scrape, by host",
        "Most samples belong to single rounds: the last 64 of each of the last 100 migrations.",
        greatest(f"{of_hosts('scrape_samples_scraped')} {OURS}", "instance"),
    ),
    by_host(
        "VMs whose series were dropped",
        "VMs per second. The series of a VM are dropped some time after it has gone.",
        per_second(of_hosts("fakedirty_vms_dropped_total"), "instance"),
        "cps",
    ),
    Panel(
        "Versions",
        "Of the collectors, and of Python, the kernel and bcc below them.",
        "short",
        {
            "collectors": f"count by (instance, version, kernel, python, bcc) ({of_hosts('fakedirty_build_info')})",
        },
        rows,
        12,
    ),
)

BOARD = Board(
    "fakedirty-hosts",
    "Hosts and collector health",
    "Whether migrations are observed on every host, whether the counts can be trusted, and what observing costs.",
    (variables.datasource(), variables.job(), variables.host()),
    lambda: notes.of_all("30s"),
    PANELS,
    since="now-1h",
    refresh="30s",
)
