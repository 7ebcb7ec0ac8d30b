#!/usr/bin/env python3
"""Shows that the fuzz can fail: a QEMU without one rule of safe skipping soon gives wrong pages.

1. Each broken variant of the patch series is built, and runs migrations of the fuzz until one leaves a wrong page. Some
   variants leave wrong counts instead, and some a migration without an end. If no plan of the fuzz exercises a rule,
   an integration test has to fail.
2. The patch series itself runs all plans that were tried, and the same tests. Nothing may be wrong.

An excluded variant shows too rarely, or neither fuzz nor tests can find it: it is only run if it is named.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from building import VariantBuilds
from fakedirty.errors import FakedirtyError, LabError
from fakedirty.lab.fuzz.fuzz_run import fuzz
from fakedirty.lab.fuzz.plans.possibilities import Possibilities
from fakedirty.lab.fuzz.probe import find_possibilities
from fakedirty.lab.fuzz.result import FuzzResult
from fakedirty.lab.qemu import RELEASE, releases
from fakedirty.package_files import carried
from plans import plan_indexes
from variant import MovedError, Variant
from variants import VARIANTS, of_release

ROOT = Path(__file__).parents[2]

EPILOG = """\
variants:
{variants}

exit status: 0 every variant was caught, and the patch series passed the same plans and tests; 1 otherwise
"""


def main() -> int:
    """Run the variants; returns the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    there = of_release(arguments.release, carried("qemu-patches") / arguments.release)
    chosen = [each for each in there if (each.name in arguments.only if arguments.only else not each.excluded)]
    if missing := set(arguments.only or ()) - {each.name for each in chosen}:
        print(f"broken: not of QEMU {arguments.release}: {', '.join(sorted(missing))}", file=sys.stderr)
        return 1
    try:
        return _run(arguments, chosen)
    except (FakedirtyError, MovedError) as error:
        print(f"broken: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace, chosen: Sequence[Variant]) -> int:
    builds = VariantBuilds(arguments.jobs, arguments.release)
    intact = builds.intact()
    possibilities = find_possibilities(intact, arguments.accel)
    caught: dict[str, int | str | None] = {}
    tried: dict[str, list[int]] = {}
    for variant in chosen:
        print(f"{variant.name} (rule {variant.rule}): {variant.description}", flush=True)
        broken = builds.broken(variant)
        if variant.test:
            caught[variant.name] = _test(variant, broken)
            continue
        indexes = plan_indexes(variant.plans, arguments.seed, arguments.most, possibilities)
        by = caught[variant.name] = _search(variant, broken, arguments.seed, indexes, possibilities)
        tried[variant.name] = indexes if by is None else indexes[: indexes.index(by) + 1]
    every = sorted({index for each in tried.values() for index in each})
    named = ", ".join(map(str, every))
    print(f"the patch series, migrations {named or 'none'} of seed {arguments.seed}:", flush=True)
    wrong = [result for result in fuzz(intact, arguments.seed, every, possibilities) if _print_errors(result)]
    print(f"  {len(every) - len(wrong)} of {len(every)} have nothing wrong", flush=True)
    tests = [variant.test for variant in chosen if variant.test]
    failed = [test for test in tests if not _passes(test, intact, show_failure=True)]
    print(f"  {len(tests) - len(failed)} of {len(tests)} tests pass" + (f"; NOT {', '.join(failed)}" * bool(failed)))
    missed = [name for name, by in caught.items() if by is None]
    print(f"caught: {len(caught) - len(missed)} of {len(caught)}" + (f"; MISSED: {', '.join(missed)}" * bool(missed)))
    if arguments.json:
        intact_report = {"intact_tried": every, "intact_wrong": len(wrong), "intact_failed": failed}
        report = {"release": arguments.release, "seed": arguments.seed, "caught_by": caught, **intact_report}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if missed or wrong or failed else 0


def _test(variant: Variant, binary: Path) -> str | None:
    """Run the test of a variant; returns the test if it fails, as it must."""
    again = f"FAKEDIRTY_QEMU={binary} pytest {variant.test}"
    caught = not _passes(variant.test, binary)
    print(f"  CAUGHT by {variant.test}\n  again: {again}" if caught else f"  MISSED by {variant.test}", flush=True)
    return variant.test if caught else None


def _passes(test: str, binary: Path, show_failure: bool = False) -> bool:
    """Whether an integration test passes with this QEMU; LabError if it did not run."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", test]
    environment = {**os.environ, "FAKEDIRTY_QEMU": str(binary)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or "skipped" in done.stdout:
        raise LabError(f"{test} was not run:\n{done.stdout[-4000:]}")
    passes = done.returncode == pytest.ExitCode.OK
    if show_failure and not passes:
        print(done.stdout, flush=True)
    return passes


def _search(
    variant: Variant, binary: Path, seed: int, indexes: Sequence[int], possibilities: Possibilities
) -> int | None:
    """The index of the first migration that catches the variant, if there is one."""
    for result in fuzz(binary, seed, indexes, possibilities):
        if error := _caught_error(variant, result):
            index = result.plan.index
            again = f"fakedirty fuzz --qemu {binary} --seed {seed} --only {index}"
            print(f"  CAUGHT by seed {seed}, migration {index}: {error}\n  again: {again}", flush=True)
            return index
    print(f"  MISSED by {len(indexes)} migrations of seed {seed}", flush=True)
    return None


def _caught_error(variant: Variant, result: FuzzResult) -> str:
    """The error of a migration that catches the variant: wrong pages, or another error that the variant may leave."""
    if result.memory is not None and not result.memory.equal:
        return "" if variant.wrong_counts else str(result.memory)
    return result.errors[0] if result.errors and (variant.wrong_counts or variant.may_hang) else ""


def _print_errors(result: FuzzResult) -> bool:
    """Print all errors of a migration; returns whether there are any."""
    for error in result.errors:
        print(f"  migration {result.plan.index} is wrong: {error}", flush=True)
    return bool(result.errors)


def _arguments() -> argparse.Namespace:
    variants = "\n".join(
        f"  {variant.name:26}rule {variant.rule}: {variant.description}"
        + f" (QEMU {variant.release})" * bool(variant.release)
        + f" (excluded: {variant.excluded})" * bool(variant.excluded)
        for variant in VARIANTS
    )
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG.format(variants=variants),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the seed of the plans; default: 1")
    parser.add_argument("--most", type=int, default=40, metavar="N", help="migrations per variant; default: 40")
    parser.add_argument("--only", action="append", choices=[variant.name for variant in VARIANTS], help="this variant")
    parser.add_argument("--release", choices=releases(), default=RELEASE, help=f"of QEMU; default: {RELEASE}")
    parser.add_argument("--accel", choices=("tcg", "kvm"), default="tcg", help="the accelerator; default: tcg")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="compilers at a time; default: 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome to this file, for programs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
