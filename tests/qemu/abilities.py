#!/usr/bin/env python3
"""Prints the modes and hashes that a QEMU has by its own schema. It is started without a machine.

qemu-patches/check.sh compares the lines with those that a build must have:

    tests/qemu/abilities.py QEMU
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fakedirty.lab.machine import machine
from fakedirty.qmp.schema import Schema

NO_MACHINE = ("-machine", "none", "-S")
PARAMETERS = ("fake-dirty-mode", "fake-dirty-hash")


def value_lines(schema: Schema) -> list[str]:
    """One line for each parameter, with the values that it takes."""
    by_name = {name: schema.values("migrate-set-parameters", name) for name in PARAMETERS}
    return [f"{name}: {'absent' if values is None else ' '.join(values)}" for name, values in by_name.items()]


def main() -> None:
    """Print the lines of the QEMU that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qemu", type=Path, help="the binary")
    with machine("probe", parser.parse_args().qemu, NO_MACHINE) as probe:
        print("\n".join(value_lines(Schema.of(probe.qmp))))


if __name__ == "__main__":
    main()
