#!/usr/bin/env python3
"""Shows that the fuzz can fail: QEMU with a rule of safe skipping taken out gives wrong pages, and soon.

Each broken variant of the series is built, and fuzzed until a migration leaves a page wrong, or a count where
that is what the rule is about. The series as it is then runs the very same plans, all of those that were tried,
and nothing may be wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from building import Workshop
from fakedirty.errors import FakedirtyError
from fakedirty.lab.fuzz import fuzz, possible
from fakedirty.lab.fuzz_plan import Possible
from fakedirty.lab.fuzz_run import Fuzzed
from variants import VARIANTS, MovedError, Variant

EPILOG = """\
variants:
{variants}

exit status: 0 every variant was caught, and the series passed the plans that caught them; 1 otherwise
"""


def main() -> int:
    """Build, fuzz, and say which rule was missed by what."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidy up then too, as after Ctrl-C
    chosen = [variant for variant in VARIANTS if variant.name in (arguments.only or [variant.name])]
    try:
        return _show(arguments, chosen)
    except (FakedirtyError, MovedError) as error:
        print(f"broken: {error}", file=sys.stderr)
        return 1


def _show(arguments: argparse.Namespace, chosen: Sequence[Variant]) -> int:
    workshop = Workshop(arguments.jobs)
    intact = workshop.intact()
    allowed = possible(intact, arguments.accel)
    caught: dict[str, int | None] = {}
    for variant in chosen:
        print(f"{variant.name} (rule {variant.rule}): {variant.breaks}", flush=True)
        caught[variant.name] = _search(variant, workshop.broken(variant), arguments, allowed)
    tried = max((arguments.most if index is None else index + 1 for index in caught.values()), default=0)
    print(f"the series as it is, migrations 0 to {tried - 1} of seed {arguments.seed}:", flush=True)
    wrong = [fuzzed for fuzzed in fuzz(intact, arguments.seed, range(tried), allowed) if _told(fuzzed)]
    print(f"  {tried - len(wrong)} of {tried} have nothing wrong")
    missed = [name for name, index in caught.items() if index is None]
    print(f"caught: {len(caught) - len(missed)} of {len(caught)}" + (f"; MISSED: {', '.join(missed)}" * bool(missed)))
    if arguments.json:
        report = {"seed": arguments.seed, "caught_at": caught, "intact_tried": tried, "intact_wrong": len(wrong)}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if missed or wrong else 0


def _search(variant: Variant, binary: Path, arguments: argparse.Namespace, allowed: Possible) -> int | None:
    """The index of the first migration that leaves a page or count wrong, if one is found."""
    for fuzzed in fuzz(binary, arguments.seed, range(arguments.most), allowed):
        index = fuzzed.plan.index
        unequal = fuzzed.memory is not None and not fuzzed.memory.equal
        if bool(fuzzed.wrong) and not unequal if variant.counted else unequal:
            told = fuzzed.wrong[0] if variant.counted else str(fuzzed.memory)
            again = f"fakedirty fuzz --qemu {binary} --seed {arguments.seed} --only {index}"
            print(f"  CAUGHT by seed {arguments.seed}, migration {index}: {told}\n  again: {again}", flush=True)
            return index
    print(f"  MISSED by {arguments.most} migrations of seed {arguments.seed}", flush=True)
    return None


def _told(fuzzed: Fuzzed) -> bool:
    """Say what is wrong with a migration, if anything."""
    for wrong in fuzzed.wrong:
        print(f"  migration {fuzzed.plan.index} is wrong: {wrong}", flush=True)
    return bool(fuzzed.wrong)


def _arguments() -> argparse.Namespace:
    variants = "\n".join(f"  {variant.name:18}rule {variant.rule}: {variant.breaks}" for variant in VARIANTS)
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG.format(variants=variants),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="what plans are drawn from; default: 1")
    parser.add_argument("--most", type=int, default=40, metavar="N", help="migrations per variant; default: 40")
    parser.add_argument("--only", action="append", choices=[variant.name for variant in VARIANTS], help="this variant")
    parser.add_argument("--accel", choices=("tcg", "kvm"), default="tcg", help="the accelerator; default: tcg")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="compilers at a time; default: 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the outcome, for another program")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
