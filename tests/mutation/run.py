#!/usr/bin/env python3
"""Shows that the unit tests can fail: single changes of the collector, each of which a test has to notice.

A sample of mutations of the pure parts is drawn from a seed, and one at each place of the checks on which security
rests. The tests that execute a mutation's lines run first; if none of them fails, the rest of the unit suite runs. At
least 95 % have to be noticed, and each of the others is listed with its reason in survivors.toml.

The results are kept in build/mutation, and a run that was interrupted or ran out of time goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import survivors
from covered import Covered
from mutator import Mutation, mutations
from selection import MissingPlaceError, pure, security
from survivors import Survivor
from workplace import Workplace, WorkplaceError

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "mutation"
SAMPLE, SEED, HOURS = 500, "fakedirty", 2.0
GOAL = 0.95
PARTS = 16  # of the unit tests, to go on with after an interruption
FEW = 40  # tests that run first: most mutations are noticed by these
KILLED, SURVIVED = "killed", "survived"
UNNOTICED = "not noticed"  # by the tests that execute it; the others have not run yet

T = TypeVar("T")


class Results:
    """What came of each mutation, by its id: a line of JSON each, kept between runs of the same tree."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        lines = path.read_text().splitlines() if path.exists() else []
        self.by_id: dict[str, str] = {row["id"]: row["result"] for row in map(json.loads, lines)}

    def add(self, mutation: Mutation, result: str) -> None:
        """Keep a result."""
        with self._lock:
            self.by_id[mutation.id] = result
            with self._path.open("a") as file:
                file.write(json.dumps({"id": mutation.id, "result": result, "mutation": str(mutation)}) + "\n")
            if len(self.by_id) % 100 == 0:
                print(f"{len(self.by_id)} tried", flush=True)


class Trial:
    """Tries mutations, several at a time."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._deadline = time.monotonic() + arguments.hours * 3600
        self._jobs = arguments.jobs
        self._places: SimpleQueue[Workplace] = SimpleQueue()
        self._all: list[Workplace] = []
        for number in range(self._jobs):
            place = Workplace(ROOT, BUILD / f"tree-{number}")
            self._all.append(place)
            self._places.put(place)
        self.covered = Covered()

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self._deadline

    def stop(self) -> None:
        """End all tests."""
        self._deadline = 0.0
        for place in self._all:
            place.stop()

    def measure(self) -> None:
        """Find out which tests execute which lines, unless that is known of this tree."""
        files = sorted((ROOT / "tests/unit").rglob("test_*.py"), key=lambda path: -path.stat().st_size)
        names = [str(path.relative_to(ROOT)) for path in files]
        parts = {BUILD / f"coverage-{number}.json": names[number::PARTS] for number in range(PARTS)}

        def measure(output: Path) -> None:
            place = self._places.get()
            try:
                place.measure(parts[output], output)
            finally:
                self._places.put(place)

        if left := [output for output in parts if not output.exists()]:
            print(f"which tests execute which lines: {len(names)} files of unit tests run once", flush=True)
            self._together(measure, left)
        for output in parts:
            self.covered.add(output)

    def run(self, chosen: Sequence[Mutation], results: Results, known: Sequence[Survivor], *, quick: bool) -> None:
        """Try those that have no result yet with the tests that execute them, then survivors with all others."""
        left = [each for each in chosen if each.id not in results.by_id]
        self._together(lambda mutation: self._try(mutation, self.covered.of(mutation), results, UNNOTICED), left)
        unnoticed = [each for each in chosen if results.by_id.get(each.id) == UNNOTICED]
        unlisted = [each for each in unnoticed if not any(entry.is_of(each) for entry in known)]
        if quick or self.late or not unlisted:
            return
        print(f"{len(unlisted)} are not noticed by the tests that execute them: the others run", flush=True)
        self._together(lambda mutation: self._try(mutation, self.covered.others(mutation), results, SURVIVED), unlisted)

    def _together(self, work: Callable[[T], None], items: Iterable[T]) -> None:
        """Do the work for all items; KeyboardInterrupt ends the tests that run."""
        with ThreadPoolExecutor(self._jobs) as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.stop()
                raise

    def _try(self, mutation: Mutation, tests: Sequence[str], results: Results, otherwise: str) -> None:
        """Run tests, few at first; the result is `otherwise` if all pass."""
        if self.late:
            return
        place = self._places.get()
        try:
            with place.mutated(mutation):
                parts = [part for part in (tests[:FEW], tests[FEW:]) if part]
                noticed = any(not place.passes(part, 60 + 10 * self.covered.time(part)) for part in parts)
        finally:
            self._places.put(place)
        if self.late and noticed:  # tests were ended
            return
        results.add(mutation, KILLED if noticed else otherwise)


def main() -> int:
    """Choose, try and report."""
    arguments = _arguments()
    try:
        chosen = _chosen(arguments)
    except MissingPlaceError as error:
        print(f"mutation: {error}", file=sys.stderr)
        return 1
    _prepare(arguments)
    results, known = Results(BUILD / "results.jsonl"), survivors.listed()
    trial = Trial(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        trial.measure()
        trial.run(chosen, results, known, quick=arguments.quick)
    except WorkplaceError as error:
        print(f"mutation: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mutation: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return _report(chosen, results, known, trial, arguments.quick)


def _chosen(arguments: argparse.Namespace) -> list[Mutation]:
    found = pure(ROOT, arguments.sample, arguments.seed) if arguments.sample else []
    if not arguments.no_security:
        found += security(ROOT, arguments.seed)
    by_id = {each.id: each for each in found if arguments.only in each.path}
    return list(by_id.values())


def _prepare(arguments: argparse.Namespace) -> None:
    """An empty build directory, unless it is of this tree."""
    digest = hashlib.sha256()
    for top in ("collector", "tests/unit", "tests/helpers", "tests/mutation"):
        for path in sorted((ROOT / top).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    stamp = BUILD / "tree.sha256"
    same = stamp.exists() and stamp.read_text() == digest.hexdigest()
    if arguments.fresh or not same:
        kept = _kept() if arguments.keep_killed and not arguments.fresh else ""
        shutil.rmtree(BUILD, ignore_errors=True)
        BUILD.mkdir(parents=True)
        (BUILD / "results.jsonl").write_text(kept)
        stamp.write_text(digest.hexdigest())


def _kept() -> str:
    path = BUILD / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return "".join(line for line in lines if json.loads(line)["result"] == KILLED)


def _report(chosen: Sequence[Mutation], results: Results, known: Sequence[Survivor], trial: Trial, quick: bool) -> int:
    """Print what survived, and what is wrong with the list; the exit status."""
    survived = [each for each in chosen if results.by_id.get(each.id) in (SURVIVED, UNNOTICED)]
    unlisted = [each for each in survived if not any(entry.is_of(each) for entry in known)]
    left = [each for each in unlisted if results.by_id[each.id] == UNNOTICED and not quick]
    left += [each for each in chosen if each.id not in results.by_id]
    tried = len(chosen) - len(left)
    paths = sorted({each.path for each in chosen})
    every = [each for path in paths for each in mutations((ROOT / path).read_bytes(), path)]
    killed = [each for each in chosen if results.by_id.get(each.id) == KILLED]
    wrong = [f"survivors.toml: of no line any more: {entry}" for entry in survivors.outdated(known, every)]
    wrong += [f"survivors.toml: noticed by now: {entry}" for entry in known if any(map(entry.is_of, killed))]
    wrong += [f"fails without a mutation: {test}" for test in sorted(trial.covered.failed)]
    share = len(killed) / tried if tried else 0.0
    (BUILD / "unlisted.toml").write_text("".join(f"# {each}\n{survivors.entry(each)}\n\n" for each in unlisted))
    print("", *(f"survives: {each}" for each in unlisted), *wrong, sep="\n")
    print(
        f"{tried} of {len(chosen)} mutations tried, {len(killed)} noticed ({share:.1%}), {len(survived)} survived, "
        f"{len(survived) - len(unlisted)} of these listed with a reason"
    )
    if left:
        print("the time is over: run it again, it goes on where it was")
    return 1 if wrong or unlisted or left or share < GOAL else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=SAMPLE, help=f"mutations of the pure parts ({SAMPLE})")
    parser.add_argument("--no-security", action="store_true", help="only the pure parts")
    parser.add_argument("--only", default="", metavar="TEXT", help="only files whose path contains it")
    parser.add_argument("--seed", default=SEED, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="mutations that are tried at a time (2)")
    parser.add_argument("--hours", type=float, default=HOURS, help=f"most time that it takes ({HOURS:g})")
    parser.add_argument(
        "--quick", action="store_true", help="run only the tests that execute a mutation, not the others for survivors"
    )
    parser.add_argument("--fresh", action="store_true", help="begin anew, and do not go on from an earlier run")
    parser.add_argument(
        "--keep-killed", action="store_true", help="after a change, try only those again that were not noticed before"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
