#!/usr/bin/env python3
"""What modes and hashes a QEMU has by its own schema, which it is started for, without a machine.

qemu-patches/check.sh compares the lines with what a build is to have:

    tests/qemu/abilities.py QEMU
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fakedirty.lab.machine import machine
from fakedirty.qmp.schema import Schema

NOTHING = ("-machine", "none", "-S")  # it is to answer, not to run
PARAMETERS = ("fake-dirty-mode", "fake-dirty-hash")


def said(schema: Schema) -> list[str]:
    """One line for each parameter: the values that it takes."""
    found = {name: schema.values("migrate-set-parameters", name) for name in PARAMETERS}
    return [f"{name}: {'absent' if values is None else ' '.join(values)}" for name, values in found.items()]


def main() -> None:
    """Print the lines of the QEMU that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qemu", type=Path, help="the binary")
    with machine("asked", parser.parse_args().qemu, NOTHING) as asked:
        print("\n".join(said(Schema.of(asked.qmp))))


if __name__ == "__main__":
    main()
