"""``fakedirty observe``: observe the migrations of one QEMU, or of all as a service; show, record and serve them."""

from __future__ import annotations

import argparse

from fakedirty.cli.log_output import add_log_level, set_log_level
from fakedirty.cli.observe_options import add_options, options_of
from fakedirty.cli.targets import add_selectors, choose
from fakedirty.service import daemon, single_qemu
from fakedirty.service.session import ObservationResult

NAME = "observe"
HELP = "observe migrations of a running QEMU: table, files, metrics"
EPILOG = """\
examples:
  fakedirty observe                            the one QEMU that runs, on the screen, until Ctrl-C
  fakedirty observe --all --listen :9752 --out runs    every QEMU of this host, also those that start later
  fakedirty observe --all --config /etc/fakedirty.toml
  fakedirty observe --vm web --once            the next migration of the VM named web
  fakedirty observe --out runs --pages         also files: rounds.csv, migration.json, toggles.csv, pages.parquet
  fakedirty observe --listen 127.0.0.1:9752    also a page, at http://127.0.0.1:9752/, and metrics, at /metrics
  fakedirty observe --record web.trace         also the trace itself, for `fakedirty replay web.trace`
  fakedirty observe --qmp /run/vm.qmp --level qmp      without root, by QMP alone

exit status: 0 everything observed is valid, and no page is missing by QEMU's own totals; 1 failed; 2 wrong usage;
3 observed, but not valid (joined late, events lost, conservation broken, pages missing or moved by postcopy), or QEMU
has no totals to compare with: see the last line of the table, or `reason` in migration.json and `invalid_reason` in
rounds.csv
"""

VALID, FAILED, INVALID = 0, 1, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_selectors(parser)
    add_options(parser)
    add_log_level(parser, "info with --all, else notice")


def run(arguments: argparse.Namespace) -> int:
    """Observe until a signal comes, until QEMU ends, or with --once until a migration has ended."""
    set_log_level(arguments.log_level or ("info" if arguments.all else "notice"))
    options = options_of(arguments)
    return exit_status(daemon.run(options) if arguments.all else single_qemu.observe(choose(arguments), options))


def exit_status(result: ObservationResult) -> int:
    """Whether everything observed could be recorded, and is valid."""
    if not result.recorded:
        return FAILED
    return VALID if result.valid else INVALID
