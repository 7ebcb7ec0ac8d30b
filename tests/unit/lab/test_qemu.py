"""Releases of QEMU: their patch series, where their source comes from, and the errors if there is none."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakedirty.cli.commands import qemu as command
from fakedirty.errors import LabError, MissingError
from fakedirty.lab.qemu import BINARY, RELEASE, Builds, built_binary, qemu_binary, releases, unpatched_binary
from fakedirty.package_files import carried

SCRIPT = carried("qemu-patches") / "build.sh"
# the answers of apt that build.sh needs: a mirror, and the versions of a suite's source package
APT_GET = """#!/bin/sh
case $1 in indextargets) echo "http://mirror.example/debian bookworm" ;; esac
"""
APT_CACHE = """#!/bin/sh
for word; do
    case $word in Dir::Etc::sourcelist=*) suite=$(awk '{print $(NF-1)}' "${word#*=}") ;; esac
done
cat "$APT_VERSIONS/$suite"
"""


def build_sh(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("FAKEDIRTY_")}
    return subprocess.run(
        [str(SCRIPT), *arguments], capture_output=True, text=True, check=False, env={**given, **(environment or {})}
    )


@pytest.fixture
def apt(tmp_path: Path) -> Mapping[str, str]:
    """An environment whose apt knows a Debian 12 mirror, and in each suite the versions of a file called like it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"apt-get": APT_GET, "apt-cache": APT_CACHE}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}", "APT_VERSIONS": str(tmp_path)}


def offer(apt: Mapping[str, str], suite: str, *versions: str) -> None:
    text = "".join(f"Package: qemu\nVersion: {version}\n\n" for version in versions)
    Path(apt["APT_VERSIONS"], suite).write_text(text)


def test_each_release_has_a_suite_and_a_series() -> None:
    table = [line.split() for line in build_sh("releases").stdout.splitlines()]
    assert [release for release, _ in table] == releases()
    assert RELEASE in releases()
    for release, _ in table:
        assert list((carried("qemu-patches") / release).rglob("*.patch")), release


def test_releases_are_in_their_order(tmp_path: Path) -> None:
    for name in ("11.1", "9.2", "10.0", "10.10", "10.2", "old"):
        (tmp_path / name).mkdir()
    (tmp_path / "12.0").write_text("not a directory")
    assert releases(tmp_path) == ["9.2", "10.0", "10.2", "10.10", "11.1"]


def test_the_sub_series_of_all_releases_are_the_same() -> None:
    parts = [sorted(path.name for path in (carried("qemu-patches") / release).iterdir()) for release in releases()]
    assert parts == [parts[0]] * len(parts)


def test_the_newest_source_of_the_release_is_taken(apt: Mapping[str, str]) -> None:
    offer(apt, "trixie", "1:10.0.9+ds-1", "1:10.0.13+ds-0+deb13u1")
    offer(apt, "sid", "1:10.2.2+ds-1", "1:10.2.10+ds-1", "1:10.20.1+ds-1", "1:11.1.3+ds-1")
    assert build_sh("version", environment=apt).stdout == "1_10.0.13+ds-0+deb13u1\n"
    assert build_sh("version", "10.2", environment=apt).stdout == "1_10.2.10+ds-1\n"


def test_a_suite_that_has_moved_on_is_an_error_with_a_way_out(apt: Mapping[str, str]) -> None:
    offer(apt, "sid", "1:11.1.2+ds-3", "1:11.1.3+ds-1")
    done = build_sh("version", "10.2", environment=apt)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "sid has no source of QEMU 10.2 (any more), only 1:11.1.2+ds-3, 1:11.1.3+ds-1" in done.stderr
    assert "FAKEDIRTY_QEMU_SOURCE" in done.stderr


def test_a_release_is_what_its_series_is_called() -> None:
    series = {release: str(carried("qemu-patches") / release) for release in ("10.0", "10.2")}
    for release, path in series.items():
        assert build_sh("recipe", path).stdout == build_sh("recipe", path, release).stdout != ""
    plain = [build_sh("recipe", "none", *release).stdout for release in ((), ("10.0",), ("10.2",))]
    assert plain[0] == plain[1] != plain[2]


def test_a_release_that_is_not_known_is_an_error() -> None:
    done = build_sh("recipe", "none", "9.9")
    assert done.returncode == 1
    assert "no series for QEMU '9.9': there are 10.0 10.2" in done.stderr


def test_a_source_of_another_release_is_an_error(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "VERSION").write_text("11.1.2\n")
    environment = {"FAKEDIRTY_QEMU_SOURCE": str(given), "FAKEDIRTY_WORK": str(tmp_path)}
    series, built = str(carried("qemu-patches") / "10.2"), tmp_path / "built"
    done = build_sh("build", series, str(built), environment=environment)
    assert done.returncode == 1
    assert "the source is of QEMU 11.1.2, the series for 10.2.x" in done.stderr
    assert not built.exists()


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A ``qemu-patches`` of two releases whose build.sh builds at once, and writes down its arguments."""
    for release in ("10.0", "10.2"):
        (tmp_path / "patches" / release).mkdir(parents=True)
    script = tmp_path / "patches" / "build.sh"
    script.write_text(
        f"""#!/bin/sh
echo "$@" >>{tmp_path}/calls
case $1 in
    recipe) echo "$(basename "$2")-$3-$FAKEDIRTY_STRIP" ;;
    version) echo "of-$2" ;;
    build) mkdir "$3" && echo "$2 $4" >"$3/{BINARY}" ;;
esac
"""
    )
    script.chmod(0o755)
    return tmp_path / "patches"


def builds(recipes: Path, release: str = RELEASE, *, patched: bool = True, strip: bool = False) -> Builds:
    environment = {"XDG_CACHE_HOME": str(recipes.parent / "cache"), "PATH": os.environ["PATH"]}
    return Builds(release, patched=patched, strip=strip, environment=environment, patches=recipes)


def test_each_release_is_built_from_its_own_series_and_kept(recipes: Path) -> None:
    assert builds(recipes, "10.2").find() is None
    made = builds(recipes, "10.2").build()
    assert made.read_text() == f"{recipes / '10.2'} 10.2\n"
    assert made.parent.name == "of-10.2-10.2-10.2-"
    assert builds(recipes, "10.2").find() == made
    assert builds(recipes).find() is None
    builds_so_far = (recipes.parent / "calls").read_text().count("build ")
    assert builds(recipes, "10.2").build() == made
    assert (recipes.parent / "calls").read_text().count("build ") == builds_so_far


def test_without_the_series_releases_are_kept_apart_as_well(recipes: Path) -> None:
    made = [builds(recipes, release, patched=False, strip=True).build() for release in ("10.0", "10.2")]
    assert [path.read_text() for path in made] == ["none 10.0\n", "none 10.2\n"]
    assert made[0] != made[1]


def test_a_release_without_a_series_is_named_with_those_that_there_are(recipes: Path) -> None:
    with pytest.raises(LabError, match=r"no patch series for QEMU 11\.1, only for 10\.0, 10\.2"):
        builds(recipes, "11.1")


def test_what_is_not_built_names_the_command_that_builds_it(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    with pytest.raises(MissingError, match=r"QEMU 10\.0 is not built yet: run 'fakedirty qemu build' "):
        qemu_binary(environment)
    with pytest.raises(MissingError, match=r"QEMU 10\.2 is not built yet: run 'fakedirty qemu build --version 10\.2' "):
        built_binary("10.2", environment)
    with pytest.raises(MissingError, match=r"run 'fakedirty qemu build --unpatched --version 10\.2'"):
        unpatched_binary(environment, "10.2")


def test_a_given_qemu_is_taken_without_a_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "qemu_binary", lambda: Path("/given"))
    monkeypatch.setattr(command, "built_binary", lambda release: Path("/built") / release)
    for version, path in ((None, "/given"), ("10.0", "/built/10.0"), ("10.2", "/built/10.2")):
        assert command.run(argparse.Namespace(action="path", version=version, unpatched=False)) == 0
        assert capsys.readouterr().out == f"{path}\n"
