"""The wheel alone, in a venv that knows nothing of the checkout, is the whole product."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
LOCATE = "from fakedirty.carried import carried; print(*(carried(*n.split('/')) for n in {names!r}), sep='\\n')"
CARRIED = ["probes/patched.c", "probes/events.h", "guests/workingset.c", "guests/linux/init", "qemu-patches/build.sh"]


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv of Debian's Python, as `make setup` makes it, with the wheel and what it depends on."""
    home = tmp_path_factory.mktemp("wheel")
    # a copy: setuptools builds in the tree, and what it leaves there would be in the next wheel
    ignored = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__")
    source = shutil.copytree(CHECKOUT, home / "source", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(home), str(source)], check=True, cwd=home)
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", str(home / "venv")], check=True)
    (wheel,) = home.glob("fakedirty-*.whl")
    install = [str(home / "venv/bin/pip"), "--disable-pip-version-check", "-q", "install", str(wheel)]
    subprocess.run(install, check=True, cwd=home)
    return home / "venv"


def test_doctor_runs(venv: Path) -> None:
    done = subprocess.run(
        [venv / "bin/fakedirty", "doctor", "--json"], capture_output=True, text=True, check=False, cwd=venv
    )
    assert done.returncode in (0, 1), done.stderr
    assert "headers" in json.loads(done.stdout)


def test_probes_guests_and_series_are_in_it(venv: Path) -> None:
    script = LOCATE.format(names=CARRIED)
    done = subprocess.run([venv / "bin/python", "-c", script], capture_output=True, text=True, check=True, cwd=venv)
    found = done.stdout.split()
    assert len(found) == len(CARRIED)
    assert all(Path(path).is_relative_to(venv) for path in found), found
