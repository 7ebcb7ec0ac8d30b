"""Recording and alerting rules: promtool's own tests, metrics that exist, a section of the runbook for each alert."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakedirty.export.host import HOST
from fakedirty.export.metrics import METRICS
from fakedirty.observe.decode.round_records import NOT_UNDERSTOOD
from fakedirty.observe.decode.wire import LOST_PLACES
from fakedirty.service.config import Policy

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "dashboards/prometheus"
RULES = PROMETHEUS / "rules"
TESTS = sorted((Path(__file__).parent / "rules").glob("*.yml"))
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()

#: metrics that not every collector exports: rules that use them fall back on those that all export
PERHAPS = {"fakedirty_verdict_converges"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)


def rules(name: str, kind: str) -> dict[str, dict[str, Any]]:
    """Those of a file, by what they record or alert of."""
    groups = yaml.safe_load((RULES / name).read_text())["groups"]
    return {rule[kind]: rule for group in groups for rule in group["rules"]}


RECORDS = rules("recording.yml", "record")
ALERTS = rules("alerts.yml", "alert")
SECTIONS = {head.lower(): text for head, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.M | re.S)}


def promtool(*words: str | Path) -> str:
    """Its output, if it accepts the rules."""
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def words_of(expression: str) -> str:
    return " ".join(expression.split())


@needs_promtool
def test_promtool_accepts_them_as_they_are_loaded() -> None:
    assert promtool("check", "config", PROMETHEUS / "prometheus.yml").count(" rules found") == 2


@needs_promtool
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_what_they_say_of_series(file: Path) -> None:
    promtool("test", "rules", file)


#: each makes expressions of a file wrong, and is to be noticed by the tests that are named
FAULTS = (
    ("alerts", 'max without (plan) (fakedirty_verdict_converges{plan="as-is"}) == 0', "vector(0) == 1", "convergence"),
    ("alerts", '{plan="as-is"}) == 0', ") == 0", "convergence"),
    ("alerts", "> 0.9 * (", "> 0.92 * (", "convergence"),
    ("alerts", "> 0.9 * (", "> 0.88 * (", "convergence"),
    ("alerts", "> 600", "> 0", "convergence"),
    ("alerts", "unless (", "unless (vector(1) < 0 and", "convergence"),
    ("alerts", 'unless max without (source) (fakedirty_verdict_limit_seconds{source="assumed"})', "", "convergence"),
    ("alerts", '{source="assumed"}', '{source="qemu"}', "convergence"),
    ("alerts", "and fakedirty_migration_active == 1", "", "convergence"),
    ("alerts", "and fakedirty_migration_active == 1", "", "skip"),
    ("alerts", "for: 1m", "for: 30s", "convergence"),
    ("alerts", "fakedirty_stalled_rounds > 0", "fakedirty_stalled_rounds >= 0", "stall"),
    ("alerts", "fakedirty_stalled_rounds > 0", "fakedirty_stalled_rounds > 3", "stall"),
    ("alerts", "_rounds > 0 and fakedirty_migration_active == 1", "_rounds > 0", "stall"),
    ("alerts", "unless max without (plan)", "unless -1 + max without (plan)", "stall"),
    ("alerts", "increase5m > 0.5", "increase5m >= 0.5", "skip"),
    ("alerts", "increase5m > 0.5", "increase5m > 0.52", "skip"),
    ("alerts", "> 10000", "> 9000", "skip"),
    ("alerts", "> 10000", "> 11000", "skip"),
    ("alerts", '{fakedirty_mode="skip"} == 0', '{fakedirty_mode="skip"} >= 0', "skip"),
    ("alerts", 'unless ignoring (fakedirty_mode) fakedirty_mode{fakedirty_mode="skip"}', "", "skip"),
    ("alerts", "fakedirty_skip_hash_seconds > fakedirty_skip_saved_seconds", "fakedirty_skip_hash_seconds", "skip"),
    ("alerts", "fakedirty_skip_hash_seconds >= 1", "fakedirty_skip_hash_seconds > 1", "skip"),
    ("alerts", "and fakedirty_skip_hash_seconds >= 1", "", "skip"),
    ("alerts", '{fakedirty_mode="skip"} == 1', '{fakedirty_mode="skip"}', "skip"),
    ("alerts", "for: 30s", "for: 20s", "skip"),
    ("alerts", 'up{job="fakedirty"} == 0', "up == 0", "faults"),
    ("alerts", 'absent(up{job="fakedirty"})', "absent(up)", "faults"),
    ("alerts", "for: 2m", "for: 1m50s", "faults"),
    ("alerts", "for: 5m", "for: 4m50s", "faults"),
    ("alerts", "{{ else }}docs{{ end }}", "{{ end }}", "words"),
    ("recording", "== 1", ">= 0", "faults"),
    (
        "recording",
        "fakedirty_lost_events_total unless",
        "fakedirty_lost_events_total < 0 unless",
        "faults",
    ),
    ("recording", "increase(fakedirty_invalid_rounds_total[5m])", "fakedirty_invalid_rounds_total", "faults"),
    ("recording", "increase(fakedirty_pages_total[5m])", "delta(fakedirty_pages_total[5m])", "recording"),
    ("recording", "without (vm)", "by (instance)", "recording"),
    ("recording", "> 0)", ">= 0)", "recording"),
    ("recording", '{class=~"fake|changed"}', "", "recording"),
    ("recording", '{kind="iterative"}', "", "recording"),
)


@needs_promtool
@pytest.mark.parametrize(("file", "right", "wrong", "test"), FAULTS)
def test_a_fault_in_them_is_found(file: str, right: str, wrong: str, test: str, tmp_path: Path) -> None:
    for each in RULES.glob("*.yml"):
        loaded = yaml.safe_load(each.read_text())
        for rule in (rule for group in loaded["groups"] for rule in group["rules"]):
            rule["expr"] = words_of(rule["expr"])
        text = yaml.safe_dump(loaded, width=10_000, allow_unicode=True)
        if each.stem == file:
            assert right in text
            text = text.replace(right, wrong)
        (tmp_path / each.name).write_text(text)
    promtool("check", "rules", *tmp_path.glob("*.yml"))
    copy = tmp_path / "tests.yaml"
    (source,) = [each for each in TESTS if each.stem == test]
    copy.write_text(source.read_text().replace("../../../../dashboards/prometheus/rules/", ""))
    done = subprocess.run(["promtool", "test", "rules", copy], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "exp:" in done.stdout + done.stderr, "it failed for what a series is, not for how the test is written"


def test_every_rule_asks_for_metrics_and_records_that_exist() -> None:
    known = {metric.name for metric in (*METRICS, *HOST)} | set(RECORDS) | PERHAPS
    for name, rule in (RECORDS | ALERTS).items():
        expression = re.sub(r"(by|without|on|ignoring) \([\w, ]*\)|\{[^}]*\}", "", rule["expr"])
        used = set(re.findall(r"[\w:]*fakedirty_\w+(?::\w+)?", expression))
        assert used or "up{" in rule["expr"], name
        assert used <= known, name


def test_records_are_named_by_what_they_are() -> None:
    for name in RECORDS:
        assert re.fullmatch(
            r"instance(_vm)?(_class|_disposition|_kind|_outcome|_where|_level)?:fakedirty_[a-z_]+:[a-z0-9_]+", name
        )
        assert not name.split(":")[1].endswith("_total")


def test_what_is_new_is_counted_alike_everywhere() -> None:
    alike = "{0} unless {0} offset 5m and on (job, instance) up offset 5m == 1 or increase({0}[5m])"
    counters = [metric.name for metric in METRICS if metric.type == "counter"]
    counted = []
    for name, rule in RECORDS.items():
        expression = words_of(rule["expr"])
        if "increase(" in expression:
            (counter,) = [each for each in counters if f"increase({each}[" in expression]
            assert expression == alike.format(counter), name
            counted.append(counter)
    assert len(counted) == len(set(counted))


def test_every_sum_of_a_host_is_one_of_its_vms() -> None:
    for name, rule in RECORDS.items():
        if name.startswith("instance") and "_vm" not in name.split(":")[0] and name.endswith("increase5m"):
            below = name.replace("instance", "instance_vm", 1)
            if "ratio" not in name:
                assert words_of(rule["expr"]) == f"sum without (vm) ({below})"
                assert below in RECORDS


def test_every_record_is_in_the_documents_and_no_other() -> None:
    listed = re.findall(r"^\| `(instance\w*:\w+:\w+)`", OPERATIONS, re.M)
    assert sorted(listed) == sorted(RECORDS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_an_operator_has_to_know(name: str) -> None:
    rule = ALERTS[name]
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["labels"]) == {"severity"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert "\n" not in notes["summary"]
    assert notes["description"].endswith(".")
    base = "{{ with $externalLabels.fakedirty_docs }}{{ . }}{{ else }}docs{{ end }}"
    assert notes["runbook_url"] == f"{base}/runbook.md#{name.lower()}"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_its_section(name: str) -> None:
    section = SECTIONS[name.lower()]
    for part in ("**It means**", "**Check", "**Do**", "**Ignore it**"):
        assert part in section
    severity = ALERTS[name]["labels"]["severity"]
    assert severity in ("critical", "warning", "info")
    assert f"| [{name}](#{name.lower()}) | {severity} |" in RUNBOOK


def test_the_runbook_has_no_section_without_an_alert() -> None:
    assert set(SECTIONS) == {name.lower() for name in ALERTS}


def test_the_runbook_knows_every_place_where_events_are_lost() -> None:
    assert re.findall(r"^\| ((?:ring|memory|table|reader|record) [^|]+) \|", SECTIONS["fakedirtyeventslost"], re.M) == [
        *LOST_PLACES,
        NOT_UNDERSTOOD,
    ]


def test_hashing_is_told_of_when_the_policy_would_act() -> None:
    assert f"fakedirty_skip_hash_seconds >= {Policy().skip_off_seconds:g}" in words_of(
        ALERTS["FakedirtyHashingCostsMoreThanItSaves"]["expr"]
    )
