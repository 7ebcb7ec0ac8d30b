"""A libvirtd of a test's own, and domains in it: as if another host, in mounts of its own, leaving nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import libvirt
import libvirt_qemu
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import firmware_arguments, qemu_binary
from migrating import WORKLOAD, wait

# the directories that libvirt would share with the libvirt of this machine, and a user that its package would make
START = """
set -eu
for path in /run /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do
    mkdir -p "$path"
    mount -t tmpfs tmpfs "$path"
done
mv "$1/qemu.conf" /etc/libvirt/
for file in passwd group; do
    { cat "/etc/$file"; cat "$1/$file"; } >"$1/$file.whole"
    mount --bind "$1/$file.whole" "/etc/$file"
done
exec libvirtd --config "$1/libvirtd.conf" --pid-file "$1/pid"
"""

QEMU_CONF = """
user = "root"
group = "root"
dynamic_ownership = 0
namespaces = []
security_driver = "none"
cgroup_controllers = []
seccomp_sandbox = 0
stdio_handler = "file"
"""

DOMAIN = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>{identity}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <os><type machine='pc'>hvm</type><kernel>{kernel}</kernel><cmdline>{words}</cmdline></os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact'><model fallback='allow'>qemu64</model><feature policy='disable' name='svm'/></cpu>
  <devices>
    <emulator>{qemu}</emulator>
    <serial type='file'><source path='{serial}'/></serial>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>{arguments}</qemu:commandline>
</domain>
"""


@dataclass(frozen=True)
class Libvirt:
    """A libvirtd that answers at `uri`."""

    process: subprocess.Popen[bytes]
    directory: Path

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.directory}/libvirt-sock"

    @property
    def environment(self) -> dict[str, str]:
        """In which this libvirt is the one that is meant."""
        return {**os.environ, "LIBVIRT_DEFAULT_URI": self.uri}

    @property
    def pids(self) -> dict[str, int]:
        """The processes of its domains, by name."""
        files = (Path("/proc") / str(self.process.pid) / "root" / "run/libvirt/qemu").glob("*.pid")
        return {file.stem: int(text) for file in files if file.stem != "driver" and (text := file.read_text())}

    def connect(self) -> Any:
        return libvirt.open(self.uri)

    def destroy_all(self) -> None:
        connection = self.connect()
        for domain in connection.listAllDomains():
            domain.destroy()
        connection.close()

    def domain(self, name: str, identity: str) -> str:
        guest = build_guest("baremetal")
        return DOMAIN.format(
            name=name,
            identity=identity,
            memory=WORKLOAD.memory_mib,
            kernel=guest.directory / "kernel",
            words=guest.guest.words(WORKLOAD),
            qemu=qemu_binary(),
            serial=self.directory / f"{name}.serial",
            arguments="".join(f"<qemu:arg value={quoteattr(word)}/>" for word in firmware_arguments()),
        )


@contextmanager
def libvirtd(directory: Path) -> Iterator[Libvirt]:
    directory.mkdir()
    (directory / "qemu.conf").write_text(QEMU_CONF)
    (directory / "passwd").write_text("libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin\n")
    (directory / "group").write_text("libvirt-qemu:x:64055:\n")
    settings = {"unix_sock_dir": directory, "auth_unix_rw": "none", "auth_unix_ro": "none", "host_uuid": uuid.uuid4()}
    settings["log_outputs"] = f"3:file:{directory}/log"  # type: ignore[assignment]
    (directory / "libvirtd.conf").write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    command = ["unshare", "--mount", "--propagation", "private", "setpriv", "--pdeathsig", "KILL", "--"]
    process = subprocess.Popen([*command, "sh", "-c", START, "sh", str(directory)])
    it = Libvirt(process, directory)
    try:
        wait(lambda: _answers(it) or process.poll() is not None)
        yield it
        it.destroy_all()
    finally:
        if process.poll() is None:
            for pid in it.pids.values():  # of a test that failed before its domains were gone
                os.kill(pid, signal.SIGKILL)
            process.kill()
        process.wait()


def _answers(it: Libvirt) -> bool:
    try:
        it.connect().close()
    except libvirt.libvirtError:
        return False
    return True


@dataclass
class Moving:
    """A domain that is being migrated, as slowly as it was asked for, in a thread."""

    domain: Any
    done: Future[Any]

    def syncs(self) -> int:
        told = json.loads(libvirt_qemu.qemuMonitorCommand(self.domain, '{"execute": "query-migrate"}', 0))
        return int(told["return"].get("ram", {}).get("dirty-sync-count", 0))

    def finish(self) -> None:
        """Lift the limits, and wait for the end."""
        self.domain.migrateSetMaxDowntime(10_000)
        self.domain.migrateSetMaxSpeed(10_000)
        self.done.result()


def start(it: Libvirt, name: str) -> None:
    """A domain whose guest sweeps its pages."""
    it.connect().createXML(it.domain(name, str(uuid.uuid4())))
    serial = it.directory / f"{name}.serial"
    wait(lambda: b"guest: ready" in serial.read_bytes())


@contextmanager
def moving(host: Libvirt, name: str, to: Libvirt, mib_a_second: int = 4) -> Iterator[Moving]:
    """To another libvirt of this host, by a socket between them.

    Two threads of one connection can wait for each other for ever, in libvirt before 10.0: each has its own.
    """
    domain, moved = (host.connect().lookupByName(name) for _ in range(2))
    parameters = {
        libvirt.VIR_MIGRATE_PARAM_URI: f"unix://{to.directory}/migration",
        libvirt.VIR_MIGRATE_PARAM_DEST_XML: to.domain(domain.name(), domain.UUIDString()),
        libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: mib_a_second,
    }
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(moved.migrate3, to.connect(), parameters, libvirt.VIR_MIGRATE_LIVE)
        it = Moving(domain, done)
        try:
            wait(lambda: it.syncs() >= 1)
            domain.migrateSetMaxDowntime(1)
            yield it
        finally:
            if not done.done():
                it.finish()
