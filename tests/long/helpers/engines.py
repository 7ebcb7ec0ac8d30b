"""Debian's container engine of a release, run for a test: all that it keeps lies in one directory, and goes with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from migrating import wait
from mirrors import bootstrap

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fakedirty/releases"

#: Debian's programs come first, also where another client of the engine is installed beside them
DEBIANS = "/usr/sbin:/usr/bin:/sbin:/bin"

#: what the engine and its shims write to, wherever their directories are
SHARED = (Path("/run/docker"), Path("/run/containerd"), Path("/etc/docker"))

# in mounts of its own: no configuration of another engine is read, and no mount of a container is left
START = """
set -eu
release=$1 mapped=$2; shift 2
for path in /run/docker /run/containerd /etc/docker; do mount -t tmpfs tmpfs "$path"; done
if [ -n "$release" ]; then mount --bind "$release/usr" /usr; fi
if [ -n "$mapped" ]; then
    echo nobody:100000:65536 >"$mapped"
    for file in /etc/subuid /etc/subgid; do mount --bind "$mapped" "$file"; done
    set -- "$@" --userns-remap=nobody:nogroup
fi
exec dockerd "$@"
"""


@dataclass(frozen=True)
class Kind:
    """A release of Debian, whose engine and whose compose are of one age."""

    release: str
    compose: tuple[str, ...]

    def files(self) -> str:
        """The root that its programs lie in; nothing where they are installed."""
        if self.release == "bookworm":
            return ""
        root = CACHE / f"{self.release}-engine"
        if not (root / "complete").exists():
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir(parents=True)
            bootstrap(self.release, root, "docker.io", "docker-cli", "docker-compose")
            (root / "complete").touch()
        return str(root)


#: engine 20.10 and compose 1.29, which are Debian 12's; engine 26 and compose 2.26, which are Debian 13's
KINDS = (Kind("bookworm", ("docker-compose",)), Kind("trixie", ("docker", "compose")))


@dataclass(frozen=True)
class Engine:
    """One that runs: its directory, its cgroup's name, and the process whose mounts its clients see."""

    kind: Kind
    directory: Path
    group: str
    pid: int

    def command(self, *words: str | Path) -> list[str | Path]:
        """A command as the engine's release has it, which asks this engine."""
        variables = {"PATH": DEBIANS, "HOME": self.directory, "DOCKER_HOST": f"unix://{self.directory}/socket"}
        environment = [f"{name}={value}" for name, value in variables.items()]
        # with the root of that process: the one of its mounts is another where the tests run in a chroot
        place = f"/proc/{self.pid}"
        mounts = ("nsenter", f"--mount={place}/ns/mnt", f"--root={place}/root", f"--wdns={Path.cwd()}")
        return [*mounts, "env", *environment, *words]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """What a command comes to."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=900)

    def docker(self, *words: str | Path) -> str:
        """What the engine answers to a command that succeeds."""
        done = self.run("docker", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def import_image(self, root: Path, name: str) -> None:
        """An image of the files below a directory."""
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            done = subprocess.run(
                self.command("docker", "import", "--change", 'CMD ["bash"]', "-", name),
                stdin=tar.stdout,
                capture_output=True,
                check=False,
            )
        assert (tar.returncode, done.returncode) == (0, 0), done.stderr


@contextmanager
def engine(kind: Kind, *, mapped: bool = False) -> Iterator[Engine]:
    """An engine that answers, of which nothing is left: no process, mount, cgroup, or file.

    One that is `mapped` gives containers user ids of their own unless they decline.
    """
    with ExitStack() as stack:
        # sockets below it have names of at most 107 bytes
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="engine-", dir="/tmp")))
        directory.chmod(0o711)  # containers whose user ids are mapped go through it
        group = f"fakedirty-{directory.name}"
        for path in SHARED:
            if not path.exists():
                path.mkdir()
                stack.callback(path.rmdir)
        stack.callback(remove_group, group)
        log = stack.enter_context((directory / "log").open("wb"))
        arguments = {
            "--iptables": "false",
            "--ip6tables": "false",
            "--bridge": "none",
            "--data-root": directory / "data",
            "--exec-root": directory / "exec",
            "--host": f"unix://{directory}/socket",
            "--pidfile": directory / "pid",
            "--cgroup-parent": group,
        }
        process = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation", "private"),
                *(sys.executable, Path(__file__).with_name("own_root.py"), "sh", "-c", START, "sh"),
                *(kind.files(), str(directory / "ids") if mapped else ""),
                *(f"{name}={value}" for name, value in arguments.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": DEBIANS, "HOME": str(directory)},
            start_new_session=True,
        )
        it = Engine(kind, directory, group, process.pid)
        try:
            wait(lambda: process.poll() is not None or answers(it))
            assert process.poll() is None, (directory / "log").read_text()
            yield it
            assert not it.docker("ps", "--all", "--quiet"), "containers are left"
        finally:
            stop(it, process)


def answers(it: Engine) -> bool:
    return (it.directory / "socket").exists() and it.run("docker", "version").returncode == 0


def stop(it: Engine, process: subprocess.Popen[bytes]) -> None:
    """End it, and what a test that failed has left in it."""
    if process.poll() is None:
        if left := it.run("docker", "ps", "--all", "--quiet").stdout.split():
            it.run("docker", "rm", "--force", *left)
        process.terminate()
        process.wait(timeout=60)
    wait(lambda: not processes(it))


def processes(it: Engine) -> dict[int, str]:
    """Command lines of the engine's own processes and those of its containers, by process id."""
    return _processes(lambda directory: _is_of(it, directory))


def _processes(of_it: Callable[[Path], bool]) -> dict[int, str]:
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if of_it(directory):
                found[int(directory.name)] = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
    return found


def _is_of(it: Engine, process: Path) -> bool:
    if f"/{it.group}" in (process / "cgroup").read_text():
        return True
    words = (process / "cmdline").read_bytes().split(b"\0")
    engines = (b"dockerd", b"containerd", b"containerd-shim-runc-v2")
    return words[0].rpartition(b"/")[2] in engines and any(os.fsencode(it.directory) in word for word in words)


def groups(name: str) -> list[Path]:
    """Control groups of that name, in whichever hierarchies there are."""
    places = {Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines() if " cgroup" in line}
    return sorted(place / name for place in places if (place / name).is_dir())


def remove_group(name: str) -> None:
    """The engine makes it, and lets it be."""
    for top in groups(name):
        for directory in sorted(top.rglob("*"), reverse=True):
            if directory.is_dir():
                directory.rmdir()
        top.rmdir()
