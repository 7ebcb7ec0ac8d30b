"""``fakedirty fuzz``: migrations at random, and after each of them every page and every count checked."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from fakedirty.errors import LabError, UsageError
from fakedirty.lab.fuzz.accepted import forbidden
from fakedirty.lab.fuzz.campaign import fuzz, possible
from fakedirty.lab.fuzz.checks import LEAST_ROUNDS
from fakedirty.lab.fuzz.coverage import ENOUGH, Coverage
from fakedirty.lab.fuzz.faults import BREAKS, KILLED_IN_POSTCOPY
from fakedirty.lab.fuzz.plan import DIRTY_LIMIT, MOST_VCPUS, RING, Possibilities
from fakedirty.lab.fuzz.predictions import LATE, LEAST_LIMIT_SECONDS, Predictions, ranges
from fakedirty.lab.fuzz.route import FileRoute
from fakedirty.lab.fuzz.run import LEAST_SKIPPED, FuzzResult
from fakedirty.lab.qemu import qemu_binary, qemu_facts
from fakedirty.model.enums import Mode
from fakedirty.record.manifest import versions
from fakedirty.show.terminal import Terminal

from .printing import print_json
from .termination import tidy_when_terminated

NAME = "fuzz"
HELP = "migrate at random with modes toggled, and compare every page after each"
EPILOG = """\
examples:
  fakedirty fuzz --runs 300 --seed 7         migrations 0 to 299 of seed 7
  fakedirty fuzz --seed 7 --only 41          migration 41 of them, alone
  fakedirty fuzz --runs 400 --complete 300   until 300 counted and every feature met every kind of toggle, at most 400

exit status: 0 done, and complete if that was asked for; 1 a page, a count or a migration was wrong (the plan and the
command that replays it are said), or it is not complete
"""

ACCELERATORS = ("tcg", "kvm")
VCPUS = range(1, MOST_VCPUS + 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="how many migrations; default: 20")
    parser.add_argument("--seed", type=int, metavar="S", help="what all is drawn from; a random one if not given")
    parser.add_argument("--only", type=int, metavar="K", help="migration K alone, counted from 0")
    parser.add_argument(
        "--complete",
        type=int,
        metavar="N",
        help=f"stop when N migrations counted and every cell of the coverage has {ENOUGH}; fail if --runs are too few",
    )
    parser.add_argument("--accel", choices=ACCELERATORS, help="this accelerator alone; default: all that run here")
    parser.add_argument(
        "--vcpus", type=int, choices=VCPUS, default=MOST_VCPUS, help=f"at most so many; default: {MOST_VCPUS}"
    )
    parser.add_argument("--qemu", type=Path, help="a QEMU with the series; the one that was built if not given")
    parser.add_argument("--json", action="store_true", help="the outcome in JSON; the lines go to standard error")


def run(arguments: argparse.Namespace) -> int:
    """Run them all, failures included; raises LabError at the end if there were any."""
    if arguments.complete is not None and arguments.only is not None:
        raise UsageError("one migration alone is never complete: give --complete or --only, not both")
    if arguments.runs < 1 or (arguments.only or 0) < 0:
        raise UsageError("there is nothing to run: --runs is 1 or more, --only 0 or more")
    console = Terminal(stderr=arguments.json, soft_wrap=True)
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    qemu = arguments.qemu or qemu_binary()
    allowed = possible(qemu, arguments.accel, arguments.vcpus)
    indexes = range(arguments.runs) if arguments.only is None else (arguments.only,)
    console.print(f"seed {seed}, {len(indexes)} migrations; {qemu}")
    console.print_lines(drawn_from(allowed))
    coverage = Coverage(allowed)
    done: list[FuzzResult] = []
    missing = ""
    with tidy_when_terminated():
        for fuzzed in fuzz(qemu, seed, indexes, allowed):
            done.append(fuzzed)
            coverage.add(fuzzed.covered)
            console.print(_line(fuzzed), style="" if not fuzzed.wrong else "bold red")
            if fuzzed.wrong:
                console.print_lines(failure(fuzzed, arguments), style="red")
            if arguments.complete is not None and not (missing := lacking(done, coverage, arguments.complete)):
                break
    if arguments.only is None:
        console.print_lines(table(coverage))
        console.print_lines(histograms(predictions_of(done)))
    console.print_lines(summary(done, coverage))
    if arguments.complete is not None:
        console.print(f"complete: {f'no, {missing}' if missing else 'yes'}")
    if arguments.json:
        print_json(_report(seed, qemu, done, coverage))
    if wrong := [str(fuzzed.plan.index) for fuzzed in done if fuzzed.wrong]:
        raise LabError(f"{len(wrong)} of {len(done)} migrations of seed {seed} went wrong: {', '.join(wrong)}")
    if missing:
        raise LabError(f"{len(done)} migrations of seed {seed} are not complete: {missing}")
    return 0


def drawn_from(allowed: Possibilities) -> list[str]:
    """What there is to draw from, and what is left out, with who refuses it."""
    return [
        f"hashes: {', '.join(allowed.hashes)}; accelerators: {', '.join(allowed.accelerators)}"
        f"{f', with a {RING} too' if allowed.ring else ''}; memory: {', '.join(allowed.memories)}",
        *_drawn_beside(allowed),
        *(f"left out: {each}" for each in allowed.left_out),
    ]


def _drawn_beside(allowed: Possibilities) -> list[str]:
    if not (allowed.compressions or allowed.ways):
        return []
    compressions, ways = (", ".join(names) or "none" for names in (allowed.compressions, allowed.ways))
    return [
        f"multifd's compressions: {compressions}; ways beside a connection: {ways}",
        f"never together, for QEMU refuses it: {forbidden()}",
    ]


def lacking(done: list[FuzzResult], coverage: Coverage, least: int) -> str:
    """What is missing to `least` migrations that count and a coverage without holes; empty if nothing is."""
    counted = sum(fuzzed.counts for fuzzed in done)
    missing = [f"{counted} of {least} migrations counted"] if counted < least else []
    if holes := coverage.holes():
        named = ", ".join(f"{feature} × {kind}" for feature, kind in holes[:5])
        missing.append(f"{len(holes)} cells are below {ENOUGH}: {named}{', …' if len(holes) > 5 else ''}")
    return "; ".join(missing)


def failure(fuzzed: FuzzResult, arguments: argparse.Namespace) -> list[str]:
    """What is wrong with a migration, what it was, and how to run it again."""
    plan = fuzzed.plan
    vcpus = None if arguments.vcpus == MOST_VCPUS else arguments.vcpus
    given = [("--accel", arguments.accel), ("--vcpus", vcpus), ("--qemu", arguments.qemu)]
    options = "".join(f" {name} {value}" for name, value in given if value is not None)
    return [
        *(f"  wrong: {wrong}" for wrong in fuzzed.wrong),
        f"  plan: {json.dumps(asdict(plan, dict_factory=_spelled))}",
        f"  again: fakedirty fuzz --seed {plan.seed} --only {plan.index}{options}",
    ]


def _spelled(fields: list[tuple[str, object]]) -> dict[str, object]:
    """Modes as words, and nothing of what is not set."""
    return {name: str(value) if isinstance(value, Mode) else value for name, value in fields if value is not None}


def summary(done: list[FuzzResult], coverage: Coverage) -> list[str]:
    """How many there were, how many of them count, what went wrong, and how much was met."""
    counted = sum(fuzzed.counts for fuzzed in done)
    pages = sum(len(fuzzed.memory.differing) for fuzzed in done if fuzzed.memory)
    cells = len(coverage.features) * len(coverage.kinds)
    return [
        f"{len(done)} migrations, {counted} counted ({LEAST_ROUNDS} rounds and {LEAST_SKIPPED:,} skipped pages, or "
        f"more); wrong pages: {pages}; wrong migrations: {sum(bool(fuzzed.wrong) for fuzzed in done)}",
        f"switchovers of a guest that stood still, held to what they were expected to send: "
        f"{sum(fuzzed.foreseen for fuzzed in done)}",
        *_late(done),
        *_limited(done),
        *_beside(done),
        f"coverage: {cells - len(coverage.holes())} of {cells} cells have {ENOUGH} migrations or more",
    ]


def _late(done: list[FuzzResult]) -> list[str]:
    """How many switchovers took longer than a limit permits that is no shorter than a machine's hiccups; and which.

    Where nothing is skipped, or fake-dirty-switchover is off, QEMU decides as it does without the patches.
    """
    lines = []
    for aware, whose in ((True, "decided by what is skipped"), (False, "decided by QEMU's own estimate")):
        timed = [(f.plan.index, p) for f in done if (p := f.predicted) and p.timed and p.aware is aware]
        late = [str(index) for index, predicted in timed if predicted.late]
        which = f" (migrations {', '.join(late)})" if late else ""
        lines.append(
            f"switchovers with a limit of {LEAST_LIMIT_SECONDS * 1e3:.0f} ms or more, {whose}: {len(timed)}; "
            f"more than {LATE - 1:.0%} above it: {len(late)}{which}"
        )
    return lines


def _limited(done: list[FuzzResult]) -> list[str]:
    """How often dirty-limit came to anything; nothing where no migration had it."""
    having = [fuzzed for fuzzed in done if fuzzed.plan.capabilities.get(DIRTY_LIMIT)]
    held = sum(fuzzed.limited for fuzzed in having)
    return [f"migrations with {DIRTY_LIMIT}: {len(having)}; in which it held vCPUs back: {held}"] if having else []


def _beside(done: list[FuzzResult]) -> list[str]:
    """How many went to files and to postcopy, and what broke when; nothing of what was not drawn."""
    said = []
    if files := sum(isinstance(fuzzed.plan.way, FileRoute) for fuzzed in done):
        said.append(f"saved into a file and restored: {files}")
    if left := [fuzzed.postcopy for fuzzed in done if fuzzed.postcopy is not None]:
        said.append(f"left to postcopy: {len(left)}, with {sum(left):,} pages")
    broken = Counter(each for fuzzed in done for each in fuzzed.breaks)
    for how in BREAKS:
        moments = ", ".join(f"{count} {moment}" for (what, moment), count in sorted(broken.items()) if what == how)
        said += [f"{how}: {moments}"] if moments else []
    return said


def table(coverage: Coverage) -> list[str]:
    """What met which toggle in how many migrations; what is below enough is marked."""
    head = "".join(f"{kind:>15}" for kind in coverage.kinds)
    lines = [f"in how many counted migrations, <: below {ENOUGH}"]
    if KILLED_IN_POSTCOPY in coverage.features:
        lines.append(f"({KILLED_IN_POSTCOPY}: in how many of which no memory could be compared)")
    lines.append(f"{'':28}{head}")
    for feature in coverage.features:
        counts = [coverage.count(feature, kind) for kind in coverage.kinds]
        cells = "".join(f"{'<' if count < ENOUGH else '':>11}{count:4d}" for count in counts)
        lines.append(f"{feature:28}{cells}")
    return lines


def predictions_of(done: list[FuzzResult]) -> Predictions:
    """What the switchovers were expected to cost, and what they did."""
    return Predictions(fuzzed.predicted for fuzzed in done if fuzzed.predicted)


def histograms(predictions: Predictions) -> list[str]:
    """Of how many switchovers what came was which multiple of what was expected."""
    head = "".join(f"{name:>8}" for name in ranges())
    lines = ["switchovers by what they cost, as a multiple of what was expected, where the guest", f"{'':38}{head}"]
    for name, row in predictions.rows().items():
        lines.append(f"{name:38}" + "".join(f"{count:8d}" for count in row.values()))
    return lines


def _line(fuzzed: FuzzResult) -> str:
    """One migration on one line."""
    equal = "no memory" if fuzzed.memory is None else "equal" if fuzzed.memory.equal else "DIFFERS"
    counts = "" if fuzzed.counts else " (not counted)"
    toggles = sum(bool(taken.kinds) for taken in fuzzed.taken)
    attempts = len(fuzzed.plan.attempts)
    features = ", ".join(feature for feature in fuzzed.plan.features if not feature.endswith(" off"))
    features += "" if fuzzed.postcopy is None else f", {fuzzed.postcopy:,} left to postcopy"
    features += "".join(f", {how} {moment}" for how, moment in fuzzed.breaks)
    retries = f", {attempts} attempts" if attempts > 1 else ""
    return (
        f"{fuzzed.plan.index:4d}  {equal}{counts}: {fuzzed.rounds} rounds, {fuzzed.skipped:,} skipped, "
        f"{toggles} toggles; {features}{retries}; {fuzzed.seconds:.1f} s"
    )


def _report(seed: int, qemu: Path, done: list[FuzzResult], coverage: Coverage) -> dict[str, object]:
    return {
        "seed": seed,
        "manifest": {
            "command_line": sys.argv,
            "qemu": qemu_facts(qemu),
            "versions": versions(),
        },
        "migrations": [
            {
                "index": fuzzed.plan.index,
                "equal": fuzzed.memory is not None and fuzzed.memory.equal,
                "counts": fuzzed.counts,
                "rounds": fuzzed.rounds,
                "skipped": fuzzed.skipped,
                "foreseen": fuzzed.foreseen,
                "limited": fuzzed.limited,
                "breaks": fuzzed.breaks,
                "postcopy": fuzzed.postcopy,
                "predicted": asdict(fuzzed.predicted) if fuzzed.predicted else None,
                "seconds": round(fuzzed.seconds, 3),
                "wrong": fuzzed.wrong,
                "differing": [asdict(page) for page in fuzzed.memory.differing] if fuzzed.memory else None,
                "features": fuzzed.plan.features,
            }
            for fuzzed in done
        ],
        "switchovers": predictions_of(done).rows(),
        "coverage": coverage.rows(),
        "below": coverage.holes(),
    }
