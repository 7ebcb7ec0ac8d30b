"""The command `fakedirty`: runs a subcommand. Here alone, errors become messages and exit statuses."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from fakedirty import __version__
from fakedirty.errors import FakedirtyError, MissingError, UsageError
from fakedirty.harmless import harmless

from .log_output import log_output
from .printing import print_notice
from .standard_streams import harmless_streams, show_fault

#: each subcommand with its line in ``--help``. It is a module of `cli/commands` by the same name, with _ for -. It is
#: imported when it is called, and has NAME, HELP, add_arguments(parser), run(arguments) -> exit status, perhaps EPILOG
COMMANDS = {
    "doctor": "check what can be observed on this machine, and what is missing",
    "observe": "observe migrations of a running QEMU: table, files, metrics",
    "pages": "evaluate page records: hot pages, streaks, RAM blocks, duplicates, a picture of RAM",
    "what-if": "play a recorded migration again with other settings: bandwidth, downtime limit, mode",
    "replay": "make tables and files from a recorded trace",
    "status": "show which QEMUs the service of this host observes",
    "watch": "watch the migrations of this host while they run, with the verdict on each",
    "config": "check the configuration of the service, or print an example",
    "runs": "list, show, compare, export and join recorded migrations",
    "dashboards": "set up the dashboards in a Grafana that runs, or write them to files",
    "mode": "switch a running QEMU between off, observe and skip",
    "demo": "migrate a guest whose pages are known, without and with skipping",
    "fuzz": "migrate at random with modes toggled, and compare every page after each",
    "bench": "measure convergence and cost: treatments side by side, again and again",
    "campaign": "run an experiment that a file describes, and keep every run of it",
    "qemu": "build the patched QEMU, or print where it is",
    "guest": "build the guests of the laboratory",
}

EPILOG = """\
examples:
  fakedirty doctor                                   the level at which each QEMU can be observed, and why not higher
  fakedirty observe --out runs --listen 127.0.0.1:9752
                                                     observe the one QEMU that runs; record it, serve /metrics
  fakedirty observe --qmp /run/vm.qmp --once         without root: one migration, by QMP alone
  fakedirty mode skip --qmp /run/vm.qmp              stop sending fake dirty pages, at once
  fakedirty COMMAND --help                           all options of a command

exit status: 0 done; 1 failed; 2 wrong usage; 3 recorded, but not valid (see the reason in rounds.csv)
"""

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    with harmless_streams(), log_output():
        return _main(list(sys.argv[1:] if argv is None else argv))


def _main(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except UsageError as error:
        return _fail(error, USAGE)
    except FakedirtyError as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED
    except Exception:  # noqa: BLE001 - a fault of ours: Python would print text from outside that it quotes
        show_fault(traceback.format_exc())
        return FAILED
    finally:
        _flush()


def _flush() -> None:
    """Write the rest now: when Python itself flushes at exit, a reader who has left makes the command fail."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    parser, command = parser_for(wanted)
    parsed = parser.parse_args(arguments)
    if command is None:
        parser.error("no command")
    status: int = command.run(parsed)
    return status


def parser_for(wanted: str | None) -> tuple[argparse.ArgumentParser, ModuleType | None]:
    """The parser, and the module of the command.

    Only the module of the wanted command is imported, because some import large libraries; the other commands have no
    arguments in this parser.

    Args:
        wanted: The name of a command; None, or a name that does not exist, for no command.
    """
    parser = _Parser(
        prog="fakedirty",
        description="See, and skip, the fake dirty pages of QEMU live migration.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fakedirty {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command: ModuleType | None = None
    for name, text in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == wanted:
            command = _command(name)
            subparser.epilog = getattr(command, "EPILOG", None)
            command.add_arguments(subparser)
    return parser, command


def module_of(name: str) -> str:
    """The name of the module of a command."""
    return name.replace("-", "_")


def _command(name: str) -> ModuleType:
    module = f"fakedirty.cli.commands.{module_of(name)}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingError(
            f"`fakedirty {name}` needs the Python module {error.name}, which is not installed"
        ) from error


class _Parser(argparse.ArgumentParser):
    """Makes its errors harmless, as they quote arguments."""

    def error(self, message: str) -> NoReturn:
        super().error(harmless(message))


def _fail(error: FakedirtyError, status: int) -> int:
    for line in f"fakedirty: {error}".split("\n"):  # each is harmless by itself
        print_notice(line)
    return status


if __name__ == "__main__":
    sys.exit(main())
