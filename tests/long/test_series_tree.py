"""The patches become commits and patches again, with nothing lost and nothing else changed."""

from __future__ import annotations

import filecmp
import shutil
import subprocess
from pathlib import Path

import pytest
from fakedirty.package_files import carried


def git(tree: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", tree, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("release", ["10.0", "10.2"])
def test_a_series_is_the_same_when_it_is_saved_again(release: str, tmp_path: Path) -> None:
    kept, patches, tree = carried("qemu-patches"), tmp_path / "patches", tmp_path / "tree"
    shutil.copytree(kept, patches)
    subprocess.run([patches / "tree.sh", "open", tree, release], check=True)
    subprocess.run([patches / "tree.sh", "save", tree, release], check=True)
    names = [str(path.relative_to(kept)) for path in kept.rglob("*.patch")]
    assert {str(path.relative_to(patches)) for path in patches.rglob("*.patch")} == set(names)
    assert filecmp.cmpfiles(patches, kept, names, shallow=False) == (names, [], [])

    git(tree, "commit", "-q", "--amend", "-m", "migration: another name\n\nSigned-off-by: Nobody <nobody@example.org>")
    subprocess.run([patches / "tree.sh", "save", tree, release], check=True)
    last = sorted((patches / release / "9-hybrid").glob("*.patch"))
    assert last[-1].name.endswith("-migration-another-name.patch")
    assert "  migration: another name\n" in last[0].read_text()
    assert len(last) == len(list((kept / release / "9-hybrid").glob("*.patch")))
