"""Grafana's libraries from npm, as `tests/long/grafana/package-lock.json` has them, and the page made of them."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from fakedirty.linux.cache_directory import cache_directory

SOURCES = Path(__file__).parents[1] / "grafana"
LOCKED = ("package.json", "package-lock.json", ".npmrc")
BUNDLE = (
    *("--bundle", "--format=iife", "--outfile=shown.js", "--log-level=warning"),
    '--define:process.env.NODE_ENV="production"',
    *("--loader:.svg=text", *(f"--loader:.{kind}=empty" for kind in ("ttf", "woff", "woff2", "png"))),
)


def installed() -> Path:
    """The directory in the cache that has them in `node_modules`; the first call downloads them (460 MiB on disk)."""
    locked = b"".join((SOURCES / name).read_bytes() for name in LOCKED)
    there = cache_directory() / "grafana" / hashlib.sha256(locked).hexdigest()[:16]
    there.mkdir(parents=True, exist_ok=True)
    with (there / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (there / "complete").exists():
            for name in LOCKED:
                shutil.copy(SOURCES / name, there)
            run(there, "npm", "ci")
            (there / "complete").touch()
    return there


def project(directory: Path, sources: Path = SOURCES) -> Path:
    """A copy of `sources` in `directory` that finds the libraries."""
    made = directory / sources.name
    shutil.copytree(sources, made, ignore=shutil.ignore_patterns("node_modules"))
    (made / "node_modules").symlink_to(installed() / "node_modules")
    return made


def page(directory: Path) -> str:
    """The URL of the page that has Grafana's code in it, in `directory`."""
    made = project(directory)
    run(made, "node_modules/.bin/esbuild", "shown.ts", *BUNDLE)
    return (made / "index.html").as_uri()


def run(directory: Path, *command: str) -> None:
    """`command` succeeds there."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
