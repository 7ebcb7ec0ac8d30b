"""``fakedirty dashboards``: the dashboards of this installation, set up in a Grafana that runs, or written to files."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from pathlib import Path

from fakedirty.cli.printing import print_json, print_line, print_notice
from fakedirty.errors import UsageError
from fakedirty.grafana.address import parse_token, parse_url, read_token
from fakedirty.grafana.connection import connected
from fakedirty.grafana.dashboards import boards, export
from fakedirty.grafana.push import UNCHANGED, DesiredState, Push, Step
from fakedirty.record.output_checks import check_directory

NAME = "dashboards"
HELP = "set up the dashboards in a Grafana that runs, or write them to files"
TOKEN = "FAKEDIRTY_GRAFANA_TOKEN"
EPILOG = f"""\
examples:
  fakedirty dashboards list                       all dashboards of this installation
  fakedirty dashboards export DIR                 their JSON, to be provisioned or imported by hand
  fakedirty dashboards push --url https://grafana.example/ --token-file token
                                                  folder and dashboards, for a Prometheus that Grafana knows
  fakedirty dashboards push --url http://127.0.0.1:3000 --token-file token --prometheus http://127.0.0.1:9090
                                                  the data source, too
  fakedirty dashboards push … --dry-run           print what would be done

The token is that of a service account with the role Admin, or Editor without --prometheus. It comes from --token,
--token-file or {TOKEN}; everybody who can list processes can read the first.

exit status: 0 done, or nothing to do; 1 Grafana does not answer, or refuses; 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    pushing = actions.add_parser("push", help="set up data source, folder and dashboards, as far as they differ")
    pushing.add_argument("--url", required=True, metavar="URL", help="the URL of the Grafana")
    token = pushing.add_mutually_exclusive_group()
    token.add_argument("--token", help="the token of a service account")
    token.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the token")
    pushing.add_argument("--ca", type=Path, metavar="FILE", help="the certificate authority of the Grafana, in PEM")
    pushing.add_argument(
        "--folder", default="fakedirty", metavar="NAME", help="the folder for the dashboards; default: fakedirty"
    )
    pushing.add_argument(
        "--prometheus", metavar="URL", help="the URL at which Grafana reaches the Prometheus with the metrics"
    )
    pushing.add_argument(
        "--scrape-interval",
        type=_interval,
        default="2s",
        metavar="TIME",
        help="the scrape interval of that Prometheus; default: 2s",
    )
    pushing.add_argument("--dry-run", action="store_true", help="change nothing, and print what would be done")
    listing = actions.add_parser("list", help="list the dashboards")
    exporting = actions.add_parser("export", help="write the JSON of each dashboard")
    exporting.add_argument("directory", type=Path, metavar="DIR")
    for action in (pushing, listing, exporting):
        action.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments name."""
    match arguments.action:
        case "push":
            _push(arguments)
        case "list":
            _list(arguments.json)
        case _:
            _export(arguments.directory, arguments.json)
    return 0


def _push(arguments: argparse.Namespace) -> None:
    place = parse_url(arguments.url, arguments.ca)
    if arguments.prometheus is not None and not re.match(r"https?://\S+$", arguments.prometheus):
        raise UsageError(f"--prometheus {arguments.prometheus}: expected a URL, such as http://127.0.0.1:9090")
    wanted = DesiredState(boards(), arguments.folder, arguments.prometheus, arguments.scrape_interval)
    with connected(place, _token(arguments)) as api:
        push = Push(api, place, wanted, dry_run=arguments.dry_run)
        steps = push.run()
        if fault := push.fault():
            print_notice(f"fakedirty: {fault}")
    if arguments.json:
        done = [dataclasses.asdict(step) for step in steps]
        print_json({"url": str(place), "dry_run": arguments.dry_run, "steps": done})
    else:
        _print(steps, arguments.dry_run)


def _print(steps: list[Step], dry_run: bool) -> None:
    for step in steps:
        action = f"would be {step.action}" if dry_run and step.action != UNCHANGED else step.action
        print_line(f"{step.kind} {step.name}: {action}" + (f", {step.url}" if step.url else ""))
    if all(step.action == UNCHANGED for step in steps):
        print_line("nothing to change")


def _token(arguments: argparse.Namespace) -> str:
    if arguments.token is not None:
        return parse_token(arguments.token)
    if arguments.token_file is not None:
        return read_token(arguments.token_file)
    if TOKEN in os.environ:
        return parse_token(os.environ[TOKEN])
    raise UsageError(f"Grafana needs a token: give --token-file FILE, or set {TOKEN}")


def _list(as_json: bool) -> None:
    found = boards()
    if as_json:
        named = [
            {"uid": board.uid, "title": board.title, "description": board.content["description"], "file": board.file}
            for board in found
        ]
        print_json(named)
        return
    for board in found:
        print_line(f"{board.uid}: {board.title}")
        print_line(f"    {board.content['description']}")


def _export(directory: Path, as_json: bool) -> None:
    check_directory(directory, "the directory")
    written = [str(path) for path in export(directory)]
    if as_json:
        print_json(written)
        return
    for path in written:
        print_line(path)


def _interval(text: str) -> str:
    """A duration in the form of Grafana and Prometheus."""
    if not re.fullmatch(r"[1-9]\d*(ms|s|m|h)", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a duration, such as 15s")
    return text
