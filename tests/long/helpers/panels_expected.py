"""What every panel of every dashboard has to show of two hosts, from what was recorded and exported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dashboard_queries import DASHBOARDS, chosen
from panel_checks import Check, Series, bands, bars, buckets, columns, figures, lines, text
from scraping import ask
from two_hosts import RANGES, WITH, WITHOUT, Host, TwoHosts

#: seconds: a 500th of the range, in round figures, and no less than the provisioned Prometheus scrapes by
STEPS = {"now": 2, "migration": 2, "ab": 2, "hosts": 5}
RATE = "8s"  # four scrapes

CLASSES = {"first": "blue", "changed": "yellow", "fake": "red"}
DISPOSITIONS = {"normal": "blue", "zero": "grey", "xbzrle": "purple", "unchanged": "orange", "skipped": "green"}
SIDES = {"without skip": "orange", "with skip": "green"}
ACTIVITY = [("over", "grey"), ("migrates", "blue"), ("over", "grey")]
CONVERGENCE = {0: ("does not", "red"), 1: ("converges", "green")}
WITHDRAWN = "withdrawn", "orange"
LIMIT = "fakedirty_verdict_limit_seconds"


class Asked:
    """What Prometheus has for the queries of a dashboard, as the test puts them itself."""

    def __init__(self, hosts: TwoHosts, name: str) -> None:
        self._hosts = hosts
        self._step = STEPS[name]
        self._range = RANGES[name]
        self._panels = {panel["title"]: panel for panel in DASHBOARDS[name]["panels"]}

    def _queries(self, title: str) -> list[tuple[str, str]]:
        made = []
        for target in self._panels[title]["targets"]:
            expression = target["expr"].replace("${vm_without:doublequote}", json.dumps(WITHOUT, ensure_ascii=False))
            made.append((target["legendFormat"], chosen(expression, WITH, RATE, f"{self._range}s")))
        return made

    def lines(self, title: str) -> dict[str, Series]:
        """Over the range of time, by legend."""
        until = self._hosts.until
        start, end = (time // self._step * self._step for time in (until - self._range, until))
        found: dict[str, Series] = {}
        for legend, query in self._queries(title):
            answer = ask(self._hosts.prometheus, "query_range", query=query, start=start, end=end, step=self._step)
            for series in answer["result"]:
                samples = [(time, float(value)) for time, value in series["values"]]
                found[_named(legend, series["metric"])] = samples
        assert found, title
        return found

    def figures(self, title: str) -> dict[str, float]:
        """At its end, by legend."""
        found = {}
        for legend, query in self._queries(title):
            for series in ask(self._hosts.prometheus, "query", query=query, time=self._hosts.until)["result"]:
                found[_named(legend, series["metric"])] = float(series["value"][1])
        assert found, title
        return found


def _named(legend: str, labels: Mapping[str, str]) -> str:
    for label, value in labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", value)
    return legend


def expected(hosts: TwoHosts) -> dict[str, dict[str, Check]]:
    """By dashboard and title of the panel."""
    return {"now": now(hosts), "migration": migration(hosts), "ab": ab(hosts), "hosts": health(hosts)}


def now(hosts: TwoHosts) -> dict[str, Check]:
    asked = Asked(hosts, "now")
    lefts = {host.vm: host.rounds["left_pages"].iloc[-1] for host in hosts.all}
    shown = asked.lines("Left pages")
    assert {vm: samples[-1][1] for vm, samples in shown.items()} == lefts
    return {
        "Migrating": figures("short", {"VMs": 0}, "text"),
        "Will not end as they are": figures("short", {"VMs": 0}, "green"),
        "Would end with skip": figures("short", {"VMs": 0}, "text"),
        "Fake share": figures("percentunit", asked.figures("Fake share"), "text"),
        "Sent": figures("decbytes", asked.figures("Sent"), "text"),
        "Saved": figures("decbytes", asked.figures("Saved"), "text"),
        "Last migration of each VM": columns(
            {
                "instance": [host.instance for host in hosts.all],
                "vm": [host.vm for host in hosts.all],
                "state": [("over", "grey")] * 2,
                "mode": [("skip", "green"), ("observe", "blue")],
                **_verdicts(hosts.all),
                "unchanged": [(host.one("fakedirty_verdict_unchanged_ratio"), "percentunit") for host in hosts.all],
                "left pages": [(float(lefts[host.vm]), "short") for host in hosts.all],
                "figures": [("valid", "green")] * 2,
            }
        ),
        "Left pages": lines("short", shown),
        "Pages by class": lines("cps", asked.lines("Pages by class"), CLASSES),
        "Bytes sent": lines("Bps", asked.lines("Bytes sent")),
        "Bytes saved": lines("Bps", asked.lines("Bytes saved")),
        "Migrating, by VM": bands({host.vm: ACTIVITY for host in hosts.all}),
        "Mode, by VM": bands({WITH: MODES, WITHOUT: MODES[:2]}),
    }


MODES = [("off", "grey"), ("observe", "blue"), ("skip", "green")]


def migration(hosts: TwoHosts) -> dict[str, Check]:
    asked, host = Asked(hosts, "migration"), hosts.skipping
    rounds, one = host.rounds, host.migration
    fake, classified = rounds["fake_pages"].sum(), rounds[[f"{name}_pages" for name in CLASSES]].sum().sum()
    begun = datetime.fromtimestamp(host.one("fakedirty_migration_start_time_seconds"), UTC)
    late = begun - datetime.fromisoformat(one["started_at"])  # the exporter dates what is delivered to it
    assert timedelta(0) <= late < timedelta(seconds=2), late
    return {
        "Unchanged": figures("percentunit", {"unchanged": host.one("fakedirty_verdict_unchanged_ratio")}, "text"),
        "Fake share": figures("percentunit", {"fake share": fake / classified}, "text"),
        "Total time": figures("s", {"total time": one["total_time_ms"] / 1000}, "text"),
        "Downtime": figures("s", {"downtime": one["downtime_ms"] / 1000}, "text"),
        "Sent": figures("decbytes", {"sent": rounds["transferred_bytes"].sum()}, "text"),
        "Saved": figures("decbytes", {"saved": rounds["saved_bytes"].sum()}, "text"),
        "Rounds": figures("short", {"rounds": one["rounds"]}, "text"),
        "Begun": text("begun", f"{begun:%Y-%m-%d %H:%M:%S}", "text"),
        "Lost events": figures("short", {"lost events": 0}, "green"),
        "Figures": text("valid", "valid", "green"),
        "Progress": figures("percentunit", {"progress": 1.0}, "text"),
        "Stalled rounds": lines("short", asked.lines("Stalled rounds")),
        "Time left": lines("s", asked.lines("Time left")),
        "Rounds by class": of_rounds(host, "short", CLASSES, "{}_pages"),
        "Rounds by disposition": of_rounds(host, "short", DISPOSITIONS, "{}_pages"),
        "Bytes sent and saved, by round": bars(
            "decbytes",
            list(rounds["round"]),
            {"sent": (list(rounds["transferred_bytes"]), "blue"), "saved": (list(rounds["saved_bytes"]), "green")},
        ),
        "Dirty and left pages, by round": of_rounds(host, "short", {"dirty": "orange", "left": "purple"}, "{}_pages"),
        **_predictions(host),
        "Where the downtime went": _parts(host),
        "Duration, by round": of_rounds(host, "s", {"duration": None}, "{}_seconds"),
        "Does hashing pay?": _pays(host),
        "Bytes sent and saved": lines("Bps", asked.lines("Bytes sent and saved"), {"sent": "blue", "saved": "green"}),
        "Pages by class": lines("cps", asked.lines("Pages by class"), CLASSES),
        "Pages that get dirty": lines("cps", asked.lines("Pages that get dirty")),
        "Bytes that vCPUs dirty": lines("Bps", {}),
        "Mode": bands({"mode": MODES}),
        "Which it is": columns(
            {
                "instance": [host.instance],
                "level": ["patched"],
                "migration_id": [one["migration_id"]],
                "migrations": [(1, "short")],
            }
        ),
    }


def ab(hosts: TwoHosts) -> dict[str, Check]:
    asked = Asked(hosts, "ab")
    sides = {"without skip": hosts.sending, "with skip": hosts.skipping}

    def each(unit: str, value: Any) -> Check:
        return figures(unit, {name: value(host) for name, host in sides.items()}, "text")

    def both(unit: str, column: str) -> Check:
        taken = {
            name: dict(zip(host.rounds["round"], host.rounds[column], strict=True)) for name, host in sides.items()
        }
        numbers = sorted({number for rounds in taken.values() for number in rounds})
        wanted = {
            name: ([rounds.get(number) for number in numbers], SIDES[name]) for name, rounds in taken.items()
        }  # fmt: skip
        return bars(unit, numbers, wanted)

    return {
        "Total time": each("s", lambda host: host.migration["total_time_ms"] / 1000),
        "Downtime": each("s", lambda host: host.migration["downtime_ms"] / 1000),
        "Sent": each("decbytes", lambda host: host.rounds["transferred_bytes"].sum()),
        "Rounds": each("short", lambda host: host.migration["rounds"]),
        "Left pages, by round": both("short", "left_pages"),
        "Bytes sent, by round": both("decbytes", "transferred_bytes"),
        "Pages sent in full, by round": both("short", "normal_pages"),
        "Duration, by round": both("s", "duration_seconds"),
        **_had_predicted(hosts.sending),
        "What hashing cost, and what it saved": _pays(hosts.skipping),
        "Bytes sent, by mode": lines("Bps", asked.lines("Bytes sent, by mode"), SIDES),
        "Fake pages, by mode": lines("cps", asked.lines("Fake pages, by mode"), SIDES),
    }


def health(hosts: TwoHosts) -> dict[str, Check]:
    asked = Asked(hosts, "hosts")

    def total(metric: str) -> float:
        return sum(host.one(metric) for host in hosts.all)

    def line(title: str, unit: str = "short") -> dict[str, Check]:
        return {title: lines(unit, asked.lines(title))}

    versions = [
        dict(zip(VERSIONS, *host.samples("fakedirty_build_info", *VERSIONS), strict=True)) for host in hosts.all
    ]
    return {
        "Collectors": figures("short", {"collectors": 2}, "text"),
        "Down": figures("short", {"down": 0}, "green"),
        "Alerts": figures("short", {"alerts": 0}, "green"),
        "QEMUs": figures("short", {"qemus": total("fakedirty_observed_qemus")}, "text"),
        "Probes": figures("short", {"probes": total("fakedirty_probes_attached")}, "text"),
        "VMs that migrate": figures("short", {"vms that migrate": 0}, "text"),
        "Collectors, by host": bands({host.instance: [("up", "green")] for host in hosts.all}),
        **line("QEMUs, by level"),
        **line("VMs that migrate, by host"),
        **line("Migrations that are over, by outcome"),
        **line("Events lost"),
        **line("Invalid rounds"),
        **line("Fake share, by host", "percentunit"),
        **line("Saved share, by host", "percentunit"),
        **line("Hashing, by host", "s"),
        **line("Skip switched off by the service", "cps"),
        "Rounds by their fake share": buckets(asked.lines("Rounds by their fake share")),
        "Rounds by their duration": buckets(asked.lines("Rounds by their duration")),
        **line("Scrapes", "s"),
        **line("Samples of a scrape, by host"),
        **line("VMs whose series were dropped", "cps"),
        "Versions": columns(
            {
                label: [
                    {**each, "instance": host.instance}[label] for each, host in zip(versions, hosts.all, strict=True)
                ]
                for label in ("bcc", "instance", "kernel", "python", "version")
            }
            | {"collectors": [(1, "short")] * 2}
        ),
    }


VERSIONS = ("bcc", "kernel", "python", "version")


def of_rounds(host: Host, unit: str, names: Mapping[str, str | None], column: str) -> Check:
    """A bar for each of `names`, whose columns are called so."""
    wanted = {name: (list(host.rounds[column.format(name)]), colour) for name, colour in names.items()}
    return bars(unit, list(host.rounds["round"]), wanted)


def of_verdicts(hosts: TwoHosts) -> dict[str, dict[str, Check]]:
    """What shows verdicts, by dashboard and title of the panel; of one migration, that without skip."""
    instances = {"instance": [host.instance for host in hosts.all]}
    return {
        "now": {"Last migration of each VM": columns(instances | _verdicts(hosts.all), others=True)},
        "migration": _predictions(hosts.sending),
        "ab": _had_predicted(hosts.sending),
    }


def _verdicts(hosts: Sequence[Host]) -> dict[str, Sequence[Any]]:
    """Columns of the table of VMs."""
    return {
        "as it is": [_converges(host, "as-is") for host in hosts],
        "takes": [_predicted(host, "as-is") for host in hosts],
        "with skip": [_converges(host, "skip") for host in hosts],
        "would take": [_predicted(host, "skip") for host in hosts],
    }


def _predictions(host: Host) -> dict[str, Check]:
    """Panels of one migration."""
    return {
        "As it is": text("as it is", *_converges(host, "as-is")),
        "With skip": text("with skip", *_converges(host, "skip")),
        "Predicted total time": figures("s", _estimates(host, "fakedirty_verdict_total_time_seconds"), "blue"),
        "Predicted downtime": figures("s", _estimates(host, "fakedirty_verdict_downtime_seconds"), "blue"),
        "Downtime limit": figures("s", _limits(host), "blue"),
        **_recommended(host),
    }


def _recommended(host: Host) -> dict[str, Check]:
    """What the migration needs to converge; without values where it converges."""
    units = {"bandwidth_bytes_per_second": "Bps", "downtime_limit_seconds": "s", "throttle_ratio": "percentunit"}
    titles = ("Recommended bandwidth", "Recommended downtime limit", "Recommended throttle")
    return {
        title: figures(unit, _estimates(host, f"fakedirty_recommended_{name}"), "blue")
        for title, (name, unit) in zip(titles, units.items(), strict=True)
    }


def _had_predicted(host: Host) -> dict[str, Check]:
    """The panel of the migration that is compared with."""
    wanted = _estimates(host, "fakedirty_verdict_total_time_seconds")
    return {"What the verdict had said": figures("s", wanted, "blue")}


def _converges(host: Host, plan: str) -> tuple[str, str]:
    if host.one("fakedirty_verdict_refuted"):
        return WITHDRAWN
    return CONVERGENCE[int(host.one("fakedirty_verdict_converges", plan=plan))]


def _predicted(host: Host, plan: str) -> tuple[float, str] | str:
    of_all = host.samples("fakedirty_verdict_total_time_seconds", "plan", "estimate")
    return (of_all[plan, "expected"], "s") if (plan, "expected") in of_all else "-"


def _estimates(host: Host, metric: str) -> dict[str, float]:
    return {", ".join(key): value for key, value in host.samples(metric, "plan", "estimate").items()}


def _limits(host: Host) -> dict[str, float]:
    limits = {f"limit, {source}": value for (source,), value in host.samples(LIMIT, "source").items()}
    least = host.samples("fakedirty_verdict_least_limit_seconds", "plan", "estimate")
    assert limits
    return limits | {f"needed, {plan}": value for (plan, estimate), value in least.items() if estimate == "expected"}


def _parts(host: Host) -> Check:
    seconds = host.samples("fakedirty_downtime_part_seconds", "part")
    assert seconds
    return figures("s", {part: value for (part,), value in seconds.items()}, "blue")


def _pays(host: Host) -> Check:
    wanted = {
        name: host.one(f"fakedirty_skip_{word}_seconds") for name, word in (("hashing", "hash"), ("saved", "saved"))
    }
    return figures("s", wanted, {"hashing": "orange", "saved": "green"})
