"""Spin, the model checker: what it finds in a model, and whether it has seen all of it."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# deep enough for every model here; one that is deeper counts as not seen whole
DEPTH = 2_000_000
PATIENCE_SECONDS = 300

# what the verifier says of every statement (`pan -d`), and of those that it has not come to
KNOWN = re.compile(r"-> state .*:(\d+) => (.*)$", re.MULTILINE)
UNREACHED = re.compile(r'^\t\S*?:(\d+), state \d+, "(.*)"$', re.MULTILINE)


class SpinError(Exception):
    """Spin, the compiler or the verifier has not done its work."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one verification found.

    `error` is the first violation in Spin's words, or empty. `unreached` has the statements of the model that no
    execution comes to, wherever they are included, and `reached` the others. `whole` is true if all states were
    visited: no limit was met.
    """

    error: str
    states: int
    unreached: tuple[str, ...]
    reached: frozenset[str]
    whole: bool
    seconds: float


def verify(model: Path, switches: Sequence[str], work: Path, *, soon: bool = False) -> Verdict:
    """Generate, compile and run the verifier of a model.

    Args:
        model: a Promela file.
        switches: what the preprocessor is to define.
        work: a directory for what is generated.
        soon: a violation is expected before long: compile quickly rather than well.

    Raises:
        SpinError: if one of the three programs fails.
    """
    started = time.monotonic()
    defined = [f"-D{switch}" for switch in switches]
    # statements are not merged: each is reported by itself
    _run(["spin", "-o3", *defined, "-a", str(model)], work)
    _run(["gcc", "-w", "-O0" if soon else "-O1", "-DSAFETY", "-o", "pan", "pan.c"], work)
    told = _run(["./pan", f"-m{DEPTH}"], work)
    states = re.search(r"^ *(\d+) states, stored", told, re.MULTILINE)
    if not states:
        raise SpinError(f"{model.name}: the verifier has not said what it did:\n{told}")
    known = _known(_run(["./pan", "-d"], work))
    unreached = _unreached(known, told)
    error = re.search(r"^pan:\d+: (.*) \(at depth \d+\)$", told, re.MULTILINE)
    return Verdict(
        error=error.group(1) if error else "",
        states=int(states.group(1)),
        unreached=unreached,
        reached=frozenset(f"{line}: {text}" for line, text in known) - frozenset(unreached),
        whole="Search not completed" not in told and "max search depth too small" not in told,
        seconds=time.monotonic() - started,
    )


def _known(told: str) -> Counter[tuple[str, str]]:
    """All statements, and how many copies there are of each: what is included in several places is one statement."""
    return Counter(KNOWN.findall(told))


def _unreached(copies: Counter[tuple[str, str]], told: str) -> tuple[str, ...]:
    """Statements of which no copy was come to."""
    missed = Counter((line, text) for line, text in UNREACHED.findall(told) if text != "-end-")
    return tuple(f"{line}: {text}" for (line, text), count in missed.items() if count >= copies[line, text])


def _run(command: Sequence[str], work: Path) -> str:
    done = subprocess.run(
        command,
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    if done.returncode:
        raise SpinError(f"{' '.join(command)}:\n{done.stdout[-4000:]}")
    return done.stdout
