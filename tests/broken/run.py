#!/usr/bin/env python3
"""Shows that the fuzz can fail: QEMU with a rule of safe skipping taken out gives wrong pages, and soon.

Each broken variant of the series is built, and fuzzed until a migration leaves a page wrong, or a count where
that is what the rule is about, or has no end where that may be. Where no plan of the fuzz comes to a rule, an
integration test has to fail. The series as it is then runs the very same plans, all of those that were tried, and
the same tests, and nothing may be wrong.
A variant that is unseen shows too rarely, or where neither of them looks: it is only run if it is named.
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
from building import Workshop
from fakedirty.errors import FakedirtyError, LabError
from fakedirty.lab.fuzz.campaign import fuzz, possible
from fakedirty.lab.fuzz.plan import Possibilities
from fakedirty.lab.fuzz.run import FuzzResult
from fakedirty.lab.qemu import RELEASE, releases
from fakedirty.package_files import carried
from plans import indexes_of
from variants import VARIANTS, MovedError, Variant, of_release

ROOT = Path(__file__).parents[2]

EPILOG = """\
variants:
{variants}

exit status: 0 every variant was caught, and the series passed the plans and tests that caught them; 1 otherwise
"""


def main() -> int:
    """Build, fuzz, and say which rule was missed by what."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidy up then too, as after Ctrl-C
    there = of_release(arguments.release, carried("qemu-patches") / arguments.release)
    chosen = [each for each in there if (each.name in arguments.only if arguments.only else not each.unseen)]
    if missing := set(arguments.only or ()) - {each.name for each in chosen}:
        print(f"broken: not of QEMU {arguments.release}: {', '.join(sorted(missing))}", file=sys.stderr)
        return 1
    try:
        return _show(arguments, chosen)
    except (FakedirtyError, MovedError) as error:
        print(f"broken: {error}", file=sys.stderr)
        return 1


def _show(arguments: argparse.Namespace, chosen: Sequence[Variant]) -> int:
    workshop = Workshop(arguments.jobs, arguments.release)
    intact = workshop.intact()
    allowed = possible(intact, arguments.accel)
    caught: dict[str, int | str | None] = {}
    tried: dict[str, list[int]] = {}
    for variant in chosen:
        print(f"{variant.name} (rule {variant.rule}): {variant.breaks}", flush=True)
        broken = workshop.broken(variant)
        if variant.test:
            caught[variant.name] = _test(variant, broken)
            continue
        indexes = indexes_of(variant.plans, arguments.seed, arguments.most, allowed)
        by = caught[variant.name] = _search(variant, broken, arguments.seed, indexes, allowed)
        tried[variant.name] = indexes if by is None else indexes[: indexes.index(by) + 1]
    every = sorted({index for each in tried.values() for index in each})
    named = ", ".join(map(str, every))
    print(f"the series as it is, migrations {named or 'none'} of seed {arguments.seed}:", flush=True)
    wrong = [fuzzed for fuzzed in fuzz(intact, arguments.seed, every, allowed) if _told(fuzzed)]
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
    """The test, if it fails."""
    again = f"FAKEDIRTY_QEMU={binary} pytest {variant.test}"
    caught = not _passes(variant.test, binary)
    print(f"  CAUGHT by {variant.test}\n  again: {again}" if caught else f"  MISSED by {variant.test}", flush=True)
    return variant.test if caught else None


def _passes(test: str, binary: Path, show_failure: bool = False) -> bool:
    """Whether an integration test passes with this QEMU. LabError if it does neither that nor fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", test]
    environment = {**os.environ, "FAKEDIRTY_QEMU": str(binary)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or "skipped" in done.stdout:
        raise LabError(f"{test} was not run:\n{done.stdout[-4000:]}")
    passes = done.returncode == pytest.ExitCode.OK
    if show_failure and not passes:
        print(done.stdout, flush=True)
    return passes


def _search(variant: Variant, binary: Path, seed: int, indexes: Sequence[int], allowed: Possibilities) -> int | None:
    """The first of the migrations that shows what the variant breaks, if one is found."""
    for fuzzed in fuzz(binary, seed, indexes, allowed):
        if shown := _shown(variant, fuzzed):
            index = fuzzed.plan.index
            again = f"fakedirty fuzz --qemu {binary} --seed {seed} --only {index}"
            print(f"  CAUGHT by seed {seed}, migration {index}: {shown}\n  again: {again}", flush=True)
            return index
    print(f"  MISSED by {len(indexes)} migrations of seed {seed}", flush=True)
    return None


def _shown(variant: Variant, fuzzed: FuzzResult) -> str:
    """What a migration shows of a variant: a page that is wrong, or what else is, where the variant may leave that."""
    if fuzzed.memory is not None and not fuzzed.memory.equal:
        return "" if variant.counted else str(fuzzed.memory)
    return fuzzed.wrong[0] if fuzzed.wrong and (variant.counted or variant.stuck) else ""


def _told(fuzzed: FuzzResult) -> bool:
    """Say what is wrong with a migration, if anything."""
    for wrong in fuzzed.wrong:
        print(f"  migration {fuzzed.plan.index} is wrong: {wrong}", flush=True)
    return bool(fuzzed.wrong)


def _arguments() -> argparse.Namespace:
    variants = "\n".join(
        f"  {variant.name:26}rule {variant.rule}: {variant.breaks}"
        + f" (QEMU {variant.release})" * bool(variant.release)
        + f" (unseen: {variant.unseen})" * bool(variant.unseen)
        for variant in VARIANTS
    )
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG.format(variants=variants),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="what plans are drawn from; default: 1")
    parser.add_argument("--most", type=int, default=40, metavar="N", help="migrations per variant; default: 40")
    parser.add_argument("--only", action="append", choices=[variant.name for variant in VARIANTS], help="this variant")
    parser.add_argument("--release", choices=releases(), default=RELEASE, help=f"of QEMU; default: {RELEASE}")
    parser.add_argument("--accel", choices=("tcg", "kvm"), default="tcg", help="the accelerator; default: tcg")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="compilers at a time; default: 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the outcome, for another program")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
