"""Documents for operators: commands that exist, examples that are accepted, links that lead, figures that add up."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import blocks, commands
from fakedirty.cli.main import COMMANDS
from fakedirty.export.host import HOST
from fakedirty.export.metrics import METRICS
from fakedirty.export.readers import ByRound
from fakedirty.export.tracked_migration import ROUNDS_SHOWN
from fakedirty.model.enums import Kind
from fakedirty.model.round import CLASSES, DISPOSITIONS
from fakedirty.service.config import parse

ROOT = Path(__file__).parents[3]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
JOIN = (ROOT / "docs/join.md").read_text()
DASHBOARDS = (ROOT / "docs/dashboards.md").read_text()
MEASURED = (ROOT / "docs/results/scrape.md").read_text() + (ROOT / "docs/results/overhead.md").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["collector"]
CONFIG_MAP, DAEMON_SET = yaml.safe_load_all((ROOT / "packaging/kubernetes.yml").read_text())
POD = DAEMON_SET["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
RECORDS = [
    rule["record"]
    for group in yaml.safe_load((ROOT / "dashboards/prometheus/rules/recording.yml").read_text())["groups"]
    for rule in group["rules"]
]

#: how many values a label has, of a VM at level patched that has migrated once, and of a host whose QEMUs are alike
VALUES = {
    "class": len(CLASSES),
    "disposition": len(DISPOSITIONS),
    "kind": len(Kind),
    "outcome": 1,
    "level": 1,
    "where": 0,
}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)


@pytest.mark.parametrize(
    "command", sorted(commands(RUNBOOK) | commands(OPERATIONS) | commands(DASHBOARDS) | commands(JOIN))
)
def test_commands_are_ones(command: str) -> None:
    _, name, *words = shlex.split(command)
    assert name in COMMANDS
    parser = argparse.ArgumentParser()
    importlib.import_module(f"fakedirty.cli.commands.{name}").add_arguments(parser)
    parser.parse_args(words)


CONFIGURATIONS = [
    block
    for block in blocks(OPERATIONS)
    if block.startswith(("scrape_configs:", "global:", "alerting:", "remote_write:"))
]


@needs_promtool
@pytest.mark.parametrize("block", CONFIGURATIONS)
def test_prometheus_takes_what_it_is_told_to_be_configured_with(block: str, tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    configured = yaml.safe_load(block)
    for scrape in configured.get("scrape_configs", ()):
        scrape.pop("kubernetes_sd_configs", None)  # Debian's Prometheus is built without it
    file.write_text(yaml.safe_dump(configured))
    command = ["promtool", "check", "config", "--syntax-only", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_service_takes_what_it_is_told_to_be_configured_with() -> None:
    [block] = [block for block in blocks(DASHBOARDS) if block.startswith("[")]
    assert str(parse(block).grafana.address) == "https://grafana.example/"


def test_there_are_examples_of_all_that_is_spoken_of() -> None:
    together = "".join(CONFIGURATIONS)
    for part in ("file_sd_configs", "openstack_sd_configs", "kubernetes_sd_configs", "/federate", "remote_write"):
        assert part in together


def test_what_is_federated_are_the_records_of_hosts() -> None:
    wanted = {name for name in RECORDS if not name.startswith("instance_vm")}
    [federated] = re.findall(r"__name__=~\"(instance\S+)\"\}", OPERATIONS)
    [sent] = re.findall(r"regex: (instance\S+)\|ALERTS", OPERATIONS)
    for pattern in (federated, sent):
        assert {name for name in RECORDS if re.fullmatch(pattern, name)} == wanted


def test_what_a_fleet_leaves_out_are_the_series_of_rounds() -> None:
    [pattern] = re.findall(r"regex: (fakedirty_round_\S+)", OPERATIONS)
    by_round = {metric.name for metric in METRICS if isinstance(metric.read, ByRound)}
    names = {metric.name + suffix for metric in METRICS for suffix in ("", "_bucket", "_sum", "_count")}
    assert {name for name in names if re.fullmatch(pattern, name)} == by_round


def number(of: str) -> int:
    """What the table says of something."""
    [found] = re.findall(rf"^\| {re.escape(of)}[^|]*\|(?:[^|\n]*\|)? ([\d,]+) \|$", OPERATIONS, re.M)
    return int(found.replace(",", ""))


def test_figures_are_those_that_were_measured() -> None:
    figures = (
        "978",
        "43,834",
        "84,633",
        "0.74",
        "333",
        "12.6",
        "151",
        "267",
        "362",
        "0.2",
        "3.2",
        "3.5",
        "0.034",
        "0.122",
    )
    for figure in figures:
        assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d,]|\.\d)", MEASURED), figure
    assert "246.0 (242.9-252.0)" in MEASURED
    collector = len(HOST) - 1 - 2 + 6  # no time of a scrape before, those of the QEMU, and those of its process
    a_vm = 978 - collector - 2
    without = round((84_633 - 43_834) / 300 - 2)  # a verdict that is withdrawn has fewer
    assert number("series of a VM that has migrated, of which everything is seen") == a_vm == 966
    assert number("without them") == without == 134
    assert number("series of the collector and its process") == collector + 1 == 11
    of_rounds = [metric for metric in METRICS if isinstance(metric.read, ByRound)]
    each = sum(VALUES[metric.labels[1]] if len(metric.labels) > 1 else 1 for metric in of_rounds)
    assert number("of these, those of its last 64 rounds") == each * ROUNDS_SHOWN == a_vm - without


def test_figures_of_rules_are_those_of_the_rules() -> None:
    series = {name: VALUES.get(re.sub(r"instance(_vm)?_?", "", name.split(":")[0]), 1) for name in RECORDS}
    of_vms = sum(count for name, count in series.items() if name.startswith("instance_vm"))
    assert number("series recorded for a VM that has migrated") == of_vms
    assert number("series recorded for a host") == sum(series.values()) - of_vms


def test_the_sums_are_right() -> None:
    def reckon(text: str) -> float:
        assert re.fullmatch(r"[\d,.x+*/() -]+", text), text
        return float(eval(text.replace(",", "").replace("x", "*")))

    rows = re.findall(r"^\| ([^|]+) \| ([\d(][\d,.x+*/() -]+) \| ([\d,]+) \|$", OPERATIONS, re.M)
    assert len(rows) >= 4
    for what, arithmetic, result in rows:
        assert reckon(arithmetic) == pytest.approx(reckon(result), rel=0.001), what
    series = number("series of hosts") + number("series of VMs, without rounds") + number("series that rules record")
    assert f"**{series:,}**" in OPERATIONS
    assert f"{series + 322 * 832:,} series, {(series + 322 * 832) / 15:,.0f} samples/s" in OPERATIONS
    assert number("samples a second") == round(series / 15)
    assert f"{series / 15 * 86_400 * 15 * 2 / 1e9:.0f} GB" in OPERATIONS


def test_the_daemon_set_has_the_rights_of_the_composition() -> None:
    security: dict[str, Any] = CONTAINER["securityContext"]
    assert security["capabilities"] == {"drop": COMPOSE["cap_drop"], "add": COMPOSE["cap_add"]}
    assert security["readOnlyRootFilesystem"]
    assert not {"privileged", "allowPrivilegeEscalation"} & set(security)
    assert POD["hostPID"]
    assert "hostNetwork" not in POD
    assert CONTAINER["image"] == COMPOSE["image"]
    assert CONTAINER["livenessProbe"]["exec"]["command"] == COMPOSE["healthcheck"]["test"][1:]
    assert f"{POD['terminationGracePeriodSeconds']}s" == COMPOSE["stop_grace_period"]


def test_the_daemon_set_mounts_what_its_configuration_names() -> None:
    [(name, text)] = CONFIG_MAP["data"].items()
    configuration = parse(text)
    assert configuration.metrics.web_config
    assert not configuration.metrics.insecure
    mounted = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    assert mounted[CONTAINER["args"][-1]]["subPath"] == name
    assert configuration.record.directory in mounted
    assert str(Path(configuration.control.socket).parent) in mounted
    assert str(Path(configuration.metrics.web_config).parent) in mounted
    assert {mount["name"] for mount in mounted.values()} == {volume["name"] for volume in POD["volumes"]}
    [port] = CONTAINER["ports"]
    assert configuration.metrics.listen.endswith(f":{port['containerPort']}")
