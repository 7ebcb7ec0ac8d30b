"""Runs Spin, the model checker: the violation that it finds in a model, and how much of the model it has reached."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# deep enough for every model here; a deeper search counts as incomplete
DEPTH = 2_000_000
MOST_SECONDS = 300  # of one program

# the lines of the verifier for every statement (`pan -d`), and for those that no execution reaches
STATEMENT = re.compile(r"-> state .*:(\d+) => (.*)$", re.MULTILINE)
UNREACHED = re.compile(r'^\t\S*?:(\d+), state \d+, "(.*)"$', re.MULTILINE)


class SpinError(Exception):
    """Spin, the compiler or the verifier has failed."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of one verification.

    Attributes:
        error: the first violation in Spin's words; empty if there is none.
        states: how many were stored.
        unreached: the statements of the model that no execution reaches, wherever they are included.
        reached: all other statements.
        complete: whether all states were visited, without a limit.
        seconds: that all three programs took.
    """

    error: str
    states: int
    unreached: tuple[str, ...]
    reached: frozenset[str]
    complete: bool
    seconds: float


def verify(model: Path, switches: Sequence[str], work: Path, *, soon: bool = False) -> Verification:
    """Generate, compile and run the verifier of a model.

    Args:
        model: a Promela file.
        switches: the macros that the preprocessor defines.
        work: a directory for the generated files.
        soon: whether a violation is expected soon: then a quick compilation is better than fast code.

    Raises:
        SpinError: if one of the three programs fails.
    """
    started = time.monotonic()
    defined = [f"-D{switch}" for switch in switches]
    # -o3: statements are not merged, so that each is reported by itself
    _run(["spin", "-o3", *defined, "-a", str(model)], work)
    _run(["gcc", "-w", "-O0" if soon else "-O1", "-DSAFETY", "-o", "pan", "pan.c"], work)
    output = _run(["./pan", f"-m{DEPTH}"], work)
    states = re.search(r"^ *(\d+) states, stored", output, re.MULTILINE)
    if not states:
        raise SpinError(f"{model.name}: the verifier has printed no number of states:\n{output}")
    copies = _copies(_run(["./pan", "-d"], work))
    unreached = _unreached(copies, output)
    error = re.search(r"^pan:\d+: (.*) \(at depth \d+\)$", output, re.MULTILINE)
    return Verification(
        error=error.group(1) if error else "",
        states=int(states.group(1)),
        unreached=unreached,
        reached=frozenset(f"{line}: {text}" for line, text in copies) - frozenset(unreached),
        complete="Search not completed" not in output and "max search depth too small" not in output,
        seconds=time.monotonic() - started,
    )


def _copies(output: str) -> Counter[tuple[str, str]]:
    """The number of copies of each statement: it has several if it is included in several places."""
    return Counter(STATEMENT.findall(output))


def _unreached(copies: Counter[tuple[str, str]], output: str) -> tuple[str, ...]:
    """The statements of which no copy was reached."""
    missed = Counter((line, text) for line, text in UNREACHED.findall(output) if text != "-end-")
    return tuple(f"{line}: {text}" for (line, text), count in missed.items() if count >= copies[line, text])


def _run(command: Sequence[str], work: Path) -> str:
    done = subprocess.run(
        command,
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=MOST_SECONDS,
    )
    if done.returncode:
        raise SpinError(f"{' '.join(command)}:\n{done.stdout[-4000:]}")
    return done.stdout
