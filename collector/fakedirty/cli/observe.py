"""``fakedirty observe``: watch the migrations of a running QEMU; show, record and serve what is seen."""

from __future__ import annotations

import argparse
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from fakedirty.errors import TargetError, UsageError
from fakedirty.linux.descriptor_limit import raise_descriptor_limit
from fakedirty.observe.bpf.attachments import Attachments
from fakedirty.observe.bpf.buffer_sizes import with_page_ring
from fakedirty.observe.fleet import Fleet
from fakedirty.observe.host import levels
from fakedirty.observe.host.target import Target
from fakedirty.observe.observer import Observer
from fakedirty.record.json_lines import JsonLines
from fakedirty.record.output_checks import check_directory, check_file
from fakedirty.record.recorder import read_clock
from fakedirty.record.retention import Limits
from fakedirty.service.config import BEST, Configuration, Observing, read
from fakedirty.service.control import serving
from fakedirty.service.maintenance import Maintenance, limits_of
from fakedirty.service.sd_notify import ServiceManager
from fakedirty.service.skip_policy import Policy
from fakedirty.service.status_api import StatusApi
from fakedirty.show.table import LiveTable
from fakedirty.web import access
from fakedirty.web.access import Access
from fakedirty.web.serve import parse_address, serve

from .observation import Observation, Reasons, observation_of
from .outputs import Outputs
from .printing import print_notice
from .targets import add_selectors, choose
from .termination import hangups, stop_signals

NAME = "observe"
HELP = "observe migrations of a running QEMU: table, files, metrics"
EPILOG = """\
examples:
  fakedirty observe                            the one QEMU that runs, on the screen, until Ctrl-C
  fakedirty observe --all --listen :9752 --out runs    every QEMU of this host, as they come and go
  fakedirty observe --all --config /etc/fakedirty.toml
  fakedirty observe --vm web --once            the next migration of the VM named web
  fakedirty observe --out runs --pages         also files: rounds.csv, migration.json, toggles.csv, pages.parquet
  fakedirty observe --listen 127.0.0.1:9752    also a page, at http://127.0.0.1:9752/, and metrics, at /metrics
  fakedirty observe --record web.trace         also all that was heard, for `fakedirty replay web.trace`
  fakedirty observe --qmp /run/vm.qmp --level qmp      without root, by QMP alone

exit status: 0 what was seen is valid, and no page is missing by QEMU's own totals; 1 failed; 2 wrong usage; 3 seen, but
not valid (joined late, events lost, conservation broken, pages missing, or moved by postcopy), or QEMU had no totals to
hold it against: see the last line of the table, or `reason` in migration.json and `invalid_reason` in rounds.csv
"""

VALID, FAILED, INVALID = 0, 1, 3

_log = logging.getLogger(__name__)

LEARNING = 4  # monitors that are asked at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    add_selectors(parser)
    parser.add_argument("--all", action="store_true", help="every QEMU of this host, those that start later too")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="with --all: the service's configuration; options given here go first",
    )
    parser.add_argument(
        "--level", choices=[str(level) for level in levels.LEVELS], help="not the highest that is possible"
    )
    parser.add_argument(
        "--hold-socket",
        action="store_true",
        help="at level qmp, keep the connection to a QMP socket, which nobody else can use then, to tell short rounds "
        "apart (else it is taken for a moment, once a second)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="record into DIR/<vm>/<start>-<migration>/")
    parser.add_argument("--pages", action="store_true", help="record every visited page too (not at level qmp)")
    parser.add_argument(
        "--sample",
        type=_sample,
        default=1,
        metavar="1/N",
        help="look at one of N pages (levels stock and usdt), for links that are too fast: classes are estimates then",
    )
    parser.add_argument("--page-ring", type=int, metavar="MIB", help="room for page records that are not yet read (16)")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="serve a page and Prometheus metrics there; port 0: any free one"
    )
    for field, text in {
        "tls_certificate": "serve them over HTTPS, by this certificate in PEM; it is read again when it changes",
        "tls_key": "the key of that certificate, in PEM",
        "tls_client_ca": "serve them to clients alone that show a certificate of this authority",
        "users": "serve them to the users of this file alone, as htpasswd -B writes it",
    }.items():
        parser.add_argument(access.option(field), type=Path, metavar="FILE", help=text)
    parser.add_argument(
        access.option("insecure"), action="store_true", help="serve off the loopback address also without TLS, to all"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="record the trace itself, to be replayed")
    parser.add_argument("--control", type=Path, metavar="SOCKET", help="with --all: answer status and mode there")
    parser.add_argument("--once", action="store_true", help="end when a migration has ended")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of the table")
    parser.add_argument("--run-id", metavar="ID", help="groups what belongs together; made from the time if not given")


def run(arguments: argparse.Namespace) -> int:
    """Observe until told to stop, until QEMU ends, or with --once until a migration has ended."""
    configuration = _configure(arguments)
    _check(arguments)
    raise_descriptor_limit()
    _check_places(arguments, configuration)
    run_id = arguments.run_id or f"observe-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
    with ExitStack() as stack:
        outlets = Outputs(run_id, out=arguments.out, exports=bool(arguments.listen), json=arguments.json)
        if configuration is not None and configuration.grafana.url:
            from fakedirty.grafana.annotation_sink import annotating  # its client takes memory, which most do not need

            grafana = configuration.grafana
            outlets.also(
                stack.enter_context(annotating(grafana.place, Path(grafana.token_file), outlets.exporter.label))
            )
        target = None if arguments.all else choose(arguments)
        if arguments.listen:
            address, permits = parse_address(arguments.listen), _access(arguments)
            serving_it = serve(outlets.exporter, *address, permits, outlets.pages())
            _say(f"metrics: {stack.enter_context(serving_it)}")
        stop = stack.enter_context(stop_signals())
        # a reader who leaves, as `| head` does, ends it only if nothing else is done with what is seen
        alone = not (arguments.listen or arguments.out or arguments.record)
        over = partial(_over, stop, outlets.screen, alone)
        if target is None:
            status = _observe_all(arguments, outlets, over, configuration)
        else:
            status = _observe(target, arguments, outlets, over, stop)
    return FAILED if outlets.failed else status


def _configure(arguments: argparse.Namespace) -> Configuration | None:
    """Take from the configuration what the command line leaves open."""
    if arguments.config is None:
        return None
    if not arguments.all:
        raise UsageError("--config is for the service, which observes every QEMU: add --all")
    configuration = read(arguments.config)
    observe, record, control = configuration.observe, configuration.record, configuration.control
    arguments.level = arguments.level or (None if observe.level == BEST else observe.level)
    arguments.pages = arguments.pages or observe.pages
    arguments.hold_socket = arguments.hold_socket or observe.hold_socket
    arguments.sample = observe.sample if arguments.sample == 1 else arguments.sample
    arguments.page_ring = observe.page_ring if arguments.page_ring is None else arguments.page_ring
    arguments.out = arguments.out or (Path(record.directory) if record.directory else None)
    arguments.listen = arguments.listen or configuration.metrics.listen or None
    for field in access.FILES:
        name = f"metrics_{field}"
        setattr(arguments, name, getattr(arguments, name) or getattr(configuration.metrics.access, field))
    arguments.insecure_listen = arguments.insecure_listen or configuration.metrics.insecure
    arguments.control = arguments.control or (Path(control.socket) if control.socket else None)
    return configuration


def _sample(text: str) -> int:
    """The N of ``1/N``."""
    one, slash, number = text.partition("/")
    if one.strip() != "1" or not slash or not number.strip().isdecimal() or not 0 < int(number) <= 1 << 20:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1/N, such as 1/16")
    return int(number)


def _check(arguments: argparse.Namespace) -> None:
    """UsageError for what contradicts itself, before anything is done."""
    if arguments.page_ring is None:
        arguments.page_ring = Observing().page_ring
    if arguments.pages and arguments.out is None and arguments.record is None:
        raise UsageError("--pages needs a place to record to: add --out DIR")
    if arguments.all and any((arguments.pid, arguments.vm, arguments.qmp)):
        raise UsageError("--all means every QEMU of this host: leave --pid, --vm and --qmp out")
    if arguments.all and arguments.record is not None:
        raise UsageError("a trace is of one QEMU: choose it with --pid or --vm, or leave --record out")
    if arguments.control is not None and not arguments.all:
        raise UsageError("--control is for the service, which observes every QEMU: add --all")
    if arguments.all and arguments.once:
        raise UsageError("--once ends with the one migration that it waits for: choose a QEMU with --pid or --vm")
    with_page_ring(arguments.page_ring)
    permits = _access(arguments)
    if arguments.listen:
        access.check(permits, *parse_address(arguments.listen))
    elif permits != Access() and arguments.config is None:
        raise UsageError("--metrics-* and --insecure-listen say how metrics are served: add --listen HOST:PORT")


def _check_places(arguments: argparse.Namespace, configuration: Configuration | None) -> None:
    """UsageError where something is to be written that cannot be, before anything is attached to."""
    if arguments.record is not None:
        check_file(arguments.record, "--record", replaced=False)
    if arguments.out is not None:
        # old recordings that go make room
        pruned = configuration is not None and limits_of(configuration) != Limits()
        check_directory(arguments.out, "--out" if configuration is None else "record.directory", may_be_full=pruned)
    if arguments.control is not None:
        check_directory(arguments.control.parent, "--control")
        if promises_beside(arguments.control).is_dir():
            raise UsageError(f"{promises_beside(arguments.control)} is a directory: --control keeps a file there")


def _access(arguments: argparse.Namespace) -> Access:
    """How metrics are served."""
    files = {field: getattr(arguments, f"metrics_{field}") for field in access.FILES}
    return Access(**files, insecure=arguments.insecure_listen)


def _over(stop: threading.Event, screen: JsonLines | LiveTable, alone: bool) -> bool:
    return stop.is_set() or (screen.reader_gone and alone)


def _observe(
    target: Target, arguments: argparse.Namespace, outlets: Outputs, over: Callable[[], bool], stop: threading.Event
) -> int:
    """One QEMU."""
    with ExitStack() as stack:
        stack.callback(outlets.part, target)
        observation = observation_of(target, arguments, outlets, Reasons(named=False), stack=stack)
        observer, trace = observation.observer, observation.trace
        version = observation.learn()
        stack.callback(observer.close)
        observer.attach()
        outlets.join(trace, version)
        _say(f"attached: {target.vm} pid {target.pid} at level {trace.level}")
        observer.run(over, once=arguments.once)
    if arguments.once and not observer.seen and not stop.is_set():
        raise TargetError(f"QEMU {target.pid} ended before a migration began")
    return verdict(observer.valid)


def _observe_all(
    arguments: argparse.Namespace, outlets: Outputs, over: Callable[[], bool], configuration: Configuration | None
) -> int:
    """Every QEMU of this host, those that come later too."""
    attachments = Attachments(every_process=True, find=lambda: fleet.found)
    reasons = Reasons(named=True)
    learning = ThreadPoolExecutor(LEARNING, thread_name_prefix="learn")
    observations: dict[Target, Observation] = {}

    def make(target: Target) -> Observer:
        found = observations[target] = observation_of(target, arguments, outlets, reasons, attachments=attachments)
        return found.observer

    def attached(target: Target) -> None:
        found = observations[target]
        outlets.join(found.trace)
        _say(f"attached: {target.vm} pid {target.pid} at level {found.trace.level}")
        with suppress(RuntimeError):  # the service ends, and what it would learn is of no use any more
            learning.submit(learn, found)

    def learn(found: Observation) -> None:
        try:
            outlets.learned(found.trace.target, found.learn())
        except Exception:  # noqa: BLE001 - the rest of what is known of it is enough
            _log.exception("%s: its monitor could not be read", found.trace.target.vm)

    def parted(target: Target) -> None:
        observations.pop(target, None)
        outlets.part(target)

    def stop() -> bool:
        upkeep.tick()
        return over()

    fleet = Fleet(make, attached=attached, parted=parted)
    # beside the socket, as that is one service's alone
    promises = promises_beside(arguments.control) if arguments.control else None
    desk = StatusApi(outlets.run_id, lambda: fleet.observers, read_clock, promises)
    manager = ServiceManager()
    with ExitStack() as stack:
        again = stack.enter_context(hangups()) if arguments.config else threading.Event()
        upkeep = Maintenance(
            manager,
            outlets.busy,
            again,
            out=arguments.out,
            path=arguments.config,
            configuration=configuration,
        )
        if configuration is not None and (wanted := configuration.policy).skip_off:
            policy = Policy(desk.modes.set, wanted.skip_off_rounds, wanted.skip_off_seconds)
            stack.callback(policy.close)
            outlets.follow(policy)
        stack.callback(attachments.close)
        stack.callback(fleet.close)
        stack.callback(learning.shutdown, cancel_futures=True)
        stack.callback(upkeep.close)
        if arguments.control is not None:
            stack.callback(desk.modes.close)
            stack.enter_context(serving(arguments.control, desk.handlers))
            desk.modes.resume()
        manager.ready("observing")
        fleet.run(stop)
    return verdict(fleet.valid)


def promises_beside(control: Path) -> Path:
    """Where the service keeps what it has promised of modes."""
    return control.with_name(f"{control.name}.promises")


def verdict(valid: bool) -> int:
    """The exit status that tells whether all that was seen can be believed."""
    return VALID if valid else INVALID


def _say(text: str) -> None:
    print_notice(text)
