"""``fakedirty doctor``: the level at which each QEMU can be observed here, and why not at a higher one."""

from __future__ import annotations

import argparse

from fakedirty.cli.printing import print_json
from fakedirty.cli.targets import add_selectors, choose
from fakedirty.observe.doctor import examine
from fakedirty.show.doctor import examination_lines
from fakedirty.show.terminal import Terminal

NAME = "doctor"
HELP = "check what can be observed on this machine, and what is missing"
EPILOG = """\
examples:
  fakedirty doctor                     this machine, and every QEMU that runs on it
  fakedirty doctor --vm web --json     one QEMU, for a program to read

exit status: 0 at least one of the QEMUs can be observed (or, where none runs, one could be at a level above qmp);
1 none can; 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_selectors(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Examine the host and its QEMUs, and print the report."""
    named = any(value is not None for value in (arguments.pid, arguments.vm, arguments.qmp))
    examination = examine([choose(arguments)] if named else None, qmp_path=arguments.qmp)
    if arguments.json:
        print_json(examination.as_dict())
    else:
        terminal = Terminal()
        for line in examination_lines(examination):
            terminal.print(line, soft_wrap=True, highlight=False)
    return 0 if examination.observable else 1
