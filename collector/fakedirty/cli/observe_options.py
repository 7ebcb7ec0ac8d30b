"""The options of ``fakedirty observe``, and the values in force: the command line wins over the file of the service."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from fakedirty.errors import UsageError
from fakedirty.observe.bpf.buffer_sizes import with_page_ring
from fakedirty.observe.host.levels import LEVELS
from fakedirty.service.config import BEST, Metrics
from fakedirty.service.options import ConfigurationSource, Options, path_of
from fakedirty.web.access import check_access
from fakedirty.web.address import parse_address
from fakedirty.web.web_config import REPLACED, replaced

#: the option of the configuration that each argument sets, by table and name
IN_CONFIGURATION = {
    "level": ("observe", "level"),
    "pages": ("observe", "pages"),
    "sample": ("observe", "sample"),
    "page_ring": ("observe", "page_ring"),
    "hold_socket": ("observe", "hold_socket"),
    "out": ("record", "directory"),
    "listen": ("metrics", "listen"),
    "web_config": ("metrics", "web_config"),
    "insecure_listen": ("metrics", "insecure"),
    "control": ("control", "socket"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options. One that is not given is None, so that the file of the service can have it."""
    parser.add_argument("--all", action="store_true", help="every QEMU of this host, also those that start later")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="with --all: the configuration of the service; options of the command line win over it",
    )
    parser.add_argument(
        "--level",
        choices=[BEST, *map(str, LEVELS)],
        help=f"the level to observe at; {BEST}, the default, is the highest that is possible",
    )
    parser.add_argument(
        "--hold-socket",
        action=argparse.BooleanOptionalAction,
        help="at level qmp, keep the connection to a QMP socket open, so that short rounds can be told apart; no other "
        "client can use the socket then (without this option it is used for a moment, once a second)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="record into DIR/<vm>/<start>-<migration>/")
    parser.add_argument(
        "--pages", action=argparse.BooleanOptionalAction, help="record every visited page too (not at level qmp)"
    )
    parser.add_argument(
        "--sample",
        type=parse_sample,
        metavar="1/N",
        help="hash one of N pages (levels stock and usdt), for links that are too fast: classes are estimates then",
    )
    parser.add_argument(
        "--page-ring",
        type=int,
        metavar="MIB",
        help="size of the buffer for page records that are not read yet; default: 16",
    )
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="serve a page and Prometheus metrics there; port 0: any free one"
    )
    parser.add_argument(
        "--web-config",
        type=Path,
        metavar="FILE",
        help="TLS and users of --listen: a web configuration file in Prometheus' format; it is read again when it "
        "changes",
    )
    parser.add_argument(
        "--insecure-listen",
        action=argparse.BooleanOptionalAction,
        help="serve everybody on an address that is not a loopback address, without TLS and users",
    )
    for name in REPLACED:
        parser.add_argument(f"--metrics-{name.replace('_', '-')}", action=_Replaced, dest=name, help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, metavar="FILE", help="record the trace of one QEMU, to be replayed")
    parser.add_argument(
        "--control",
        type=Path,
        metavar="SOCKET",
        help="with --all: answer `fakedirty status` and `fakedirty mode` there",
    )
    parser.add_argument("--once", action="store_true", help="end when a migration has ended")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of the table")
    parser.add_argument("--run-id", metavar="ID", help="groups recordings; default: made from the time")


def options_of(arguments: argparse.Namespace) -> Options:
    """The options in force.

    Raises:
        UsageError: Arguments contradict each other, the file is refused, or a place cannot be written to.
    """
    _check_scope(arguments)
    source = ConfigurationSource(arguments.config, given(arguments))
    configuration = source.read()
    if configuration.observe.pages and not (configuration.record.directory or arguments.record):
        raise UsageError("--pages needs a place to record to: add --out DIR")
    with_page_ring(configuration.observe.page_ring)
    _check_access(configuration.metrics, arguments)
    options = Options(
        source,
        configuration,
        run_id=arguments.run_id or f"observe-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}",
        json=arguments.json,
        monitor=arguments.qmp,
        trace_file=arguments.record,
        once=arguments.once,
    )
    options.check_places()
    return options


def given(arguments: argparse.Namespace) -> Mapping[tuple[str, str], object]:
    """The values that the command line gives, by table and option of the configuration."""
    values = {place: getattr(arguments, name) for name, place in IN_CONFIGURATION.items()}
    return {
        place: str(value) if isinstance(value, Path) else value for place, value in values.items() if value is not None
    }


def parse_sample(text: str) -> int:
    """The N of ``1/N``."""
    one, slash, number = text.partition("/")
    if one.strip() != "1" or not slash or not number.strip().isdecimal() or not 0 < int(number) <= 1 << 20:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1/N, such as 1/16")
    return int(number)


def _check_scope(arguments: argparse.Namespace) -> None:
    """UsageError for arguments that need --all, or do not go with it."""
    if arguments.all and any((arguments.pid, arguments.vm, arguments.qmp)):
        raise UsageError("--all means every QEMU of this host: leave --pid, --vm and --qmp out")
    if arguments.all and arguments.record is not None:
        raise UsageError("a trace is of one QEMU: choose it with --pid or --vm, or leave --record out")
    if arguments.all and arguments.once:
        raise UsageError("--once ends with the one migration that it waits for: choose a QEMU with --pid or --vm")
    if arguments.control is not None and not arguments.all:
        raise UsageError("--control is for the service, which observes every QEMU: add --all")
    if arguments.config is not None and not arguments.all:
        raise UsageError("--config is for the service, which observes every QEMU: add --all")


def _check_access(metrics: Metrics, arguments: argparse.Namespace) -> None:
    """UsageError where metrics may not be served as the options have it."""
    if metrics.listen:
        check_access(*parse_address(metrics.listen), path_of(metrics.web_config), insecure=metrics.insecure)
    elif arguments.web_config or arguments.insecure_listen:
        raise UsageError("--web-config and --insecure-listen are about what is served: add --listen HOST:PORT")


class _Replaced(argparse.Action):
    """An option of an earlier version: refused with the name of the new one."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: object, values: object, option: object = "") -> None:
        parser.error(f"{option} {replaced(self.dest)}")
