"""``fakedirty mode``: switch the fake dirty mode of a running QEMU, during a migration or before one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fakedirty.model.words import Mode
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import set_mode

NAME = "mode"
HELP = "switch a running QEMU between off, observe and skip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("mode", choices=[str(mode) for mode in Mode], help="what QEMU does from now on")
    parser.add_argument("--qmp", type=Path, required=True, metavar="SOCKET", help="a QMP socket that is free")
    parser.add_argument("--hash", help="the content hash, for example xxh3-64; the present one if not given")
    parser.add_argument("--json", action="store_true", help="say it in JSON")


def run(arguments: argparse.Namespace) -> int:
    """Set the mode and say what QEMU reads back."""
    with Qmp.connect(arguments.qmp) as qmp:
        mode, hash_name = set_mode(qmp, Mode(Mode.parse(arguments.mode)), arguments.hash)
    if arguments.json:
        print(json.dumps({"qmp": str(arguments.qmp), "mode": str(mode), "hash": hash_name}))
    else:
        print(f"{arguments.qmp}: fake-dirty-mode is {mode}, hash {hash_name}")
    return 0
