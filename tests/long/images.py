"""The collector's image, built by buildah without an engine, and containers of it that have what compose asks for."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrors import DEBIAN, bootstrap, wheels

#: pip in the image installs what the test lays there
PIP = """\
[global]
no-index = true
find-links = /mnt
"""

#: the root of a container is read-only, and nobody in it gets more rights than it has
AS_COMPOSED = 'mount -o remount,bind,ro / && exec setpriv --no-new-privs -- "$@"'


@dataclass(frozen=True)
class Store:
    """buildah, and all that it keeps, below a directory; containers have these capabilities alone."""

    directory: Path
    capabilities: Sequence[str]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.directory)}

    @property
    def limited(self) -> dict[str, str]:
        """The environment in which containers are made and run; building needs more rights."""
        settings = self.directory / "containers.conf"
        settings.write_text(f"[containers]\ndefault_capabilities = {json.dumps(list(self.capabilities))}\n")
        return {**self.environment, "CONTAINERS_CONF": str(settings)}

    def command(self, *words: str | Path) -> list[str | Path]:
        places = ("--root", self.directory / "root", "--runroot", self.directory / "run")
        return ["buildah", *places, "--storage-driver", "vfs", *words]

    def buildah(self, *words: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """What it says to a command."""
        done = subprocess.run(
            self.command(*words), env=environment or self.environment, stdout=subprocess.PIPE, text=True, check=False
        )
        assert done.returncode == 0, f"buildah {words[0]} failed; its last words are above"
        return done.stdout.strip()

    def base(self) -> str:
        """An image of a bare Debian 12."""
        container = self.buildah("from", "scratch")
        root = Path(self.buildah("mount", container))
        bootstrap(DEBIAN, root)
        (root / "etc/pip.conf").write_text(PIP)
        return self.buildah("commit", "--quiet", "--rm", container, "base")

    def build(self, base: str, dockerfile: Path, context: Path) -> str:
        """The image of a Dockerfile."""
        found = self.directory / "wheels"
        project = tomllib.loads((context / "pyproject.toml").read_text())
        wheels(found, [*project["build-system"]["requires"], *project["project"]["dependencies"]])
        how = ("--isolation", "chroot", "--build-arg", f"BASE={base}", "--volume", f"{found}:/mnt:ro")
        return self.buildah("build", *how, "--tag", "collector", "-f", dockerfile, context).splitlines()[-1]

    def configuration(self, image: str) -> dict[str, Any]:
        """Entry point, command and environment of an image."""
        told: dict[str, Any] = json.loads(self.buildah("inspect", "--type", "image", image))["OCIv1"]["config"]
        return told

    def files(self, image: str) -> Path:
        """The root of an image."""
        return Path(self.buildah("mount", self.buildah("from", image)))

    def container(self, image: str, mounts: Mapping[str, Path]) -> Container:
        """One of an image, with directories and files of the host by where they go."""
        return Container(self, self.buildah("from", image, environment=self.limited), mounts)


@dataclass(frozen=True)
class Container:
    """It shares process ids and network with the host, as `buildah run --isolation chroot` has them."""

    store: Store
    name: str
    mounts: Mapping[str, Path]

    def command(self, *words: str) -> list[str | Path]:
        volumes = [word for inside, outside in self.mounts.items() for word in ("--volume", f"{outside}:{inside}")]
        how = ("--isolation", "chroot", "--mount", "type=tmpfs,destination=/tmp", *volumes)
        return self.store.command("run", *how, self.name, "--", "sh", "-c", AS_COMPOSED, "sh", *words)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command in it, beside the test."""
        return subprocess.Popen(
            self.command(*words),
            env=self.store.limited,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a command in it comes to."""
        return subprocess.run(
            self.command(*words), env=self.store.limited, capture_output=True, text=True, check=False, timeout=120
        )


@contextmanager
def store(capabilities: Sequence[str]) -> Iterator[Store]:
    """An empty one, of which nothing is left."""
    with tempfile.TemporaryDirectory(prefix="fakedirty-image-") as directory:
        try:
            yield Store(Path(directory), capabilities)
        finally:
            _unmount_below(Path(directory))


def _unmount_below(directory: Path) -> None:
    """What a debootstrap that failed has mounted must not be emptied with the directory."""
    mounts = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.is_relative_to(directory):
            subprocess.run(["umount", "--lazy", mount], check=True)
