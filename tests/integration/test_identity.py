"""Whoever answers is shown to be the QEMU that is meant before anything is done with it, by every consumer of QMP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bare import WITH_CPU, Bare, bare, counting, proxy
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.record.trace_file import Replay
from migrating import wait
from observing import observe
from serving import fakedirty, said, service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for namespaces")


@dataclass
class Scene:
    """The QEMU that is meant, and others that must not be touched; `refused` is part of the reason why it is not used.

    `qmp` is a socket that is named beside the QEMU. `version` is the one of the QEMU that is meant.
    """

    meant: Bare
    others: list[Bare] = field(default_factory=list)
    refused: str = ""
    qmp: Path | None = None
    checks: list[Callable[[], None]] = field(default_factory=list)

    @property
    def selector(self) -> list[str]:
        return ["--pid", str(self.meant.pid), *(["--qmp", str(self.qmp)] if self.qmp else [])]


Making = Callable[[Path, ExitStack], Scene]


def control(path: Path | str) -> list[str]:
    return ["-qmp", f"unix:{path},server=on,wait=off"]


def another_mount_namespace(directory: Path, stack: ExitStack) -> Scene:
    """Its socket's path is another QEMU's on the host."""
    inside = directory / "run"
    inside.mkdir()
    here = stack.enter_context(bare(directory, "here", *control(inside / "vm.qmp"), qemu=stock_binary()))
    script = f'mount -t tmpfs none {inside} && exec "$@"'
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    there = stack.enter_context(bare(directory, "there", *control(inside / "vm.qmp"), prefix=prefix))
    return Scene(there, [here])


def the_first_at_one_path(directory: Path, stack: ExitStack) -> Scene:
    """The second QEMU has taken the path away from the first."""
    first = stack.enter_context(bare(directory, "first", *control(directory / "vm.qmp")))
    second = stack.enter_context(bare(directory, "second", *control(directory / "vm.qmp")))
    return Scene(first, [second], "another socket by now")


def the_second_at_one_path(directory: Path, stack: ExitStack) -> Scene:
    first = stack.enter_context(bare(directory, "first", *control(directory / "vm.qmp"), qemu=stock_binary()))
    second = stack.enter_context(bare(directory, "second", *control(directory / "vm.qmp")))
    return Scene(second, [first])


def a_proxy(directory: Path, stack: ExitStack) -> Scene:
    """It is known by the threads of its vCPUs."""
    uuid = ["-uuid", "7a0f7f71-496e-4142-a1e5-ba5bd800390c"]
    meant = stack.enter_context(bare(directory, "behind", *control(directory / "own"), *uuid, machine=WITH_CPU))
    stack.enter_context(proxy(directory / "proxy", directory / "own"))
    return Scene(meant, qmp=directory / "proxy")


def a_proxy_of_another(directory: Path, stack: ExitStack) -> Scene:
    """With the same name and the same UUID, as source and destination have."""
    uuid = ["-uuid", "7a0f7f71-496e-4142-a1e5-ba5bd800390c"]
    meant = stack.enter_context(bare(directory, "meant", *uuid, machine=WITH_CPU))
    other = stack.enter_context(bare(directory, "other", *control(directory / "own"), *uuid, machine=WITH_CPU))
    stack.enter_context(proxy(directory / "proxy", directory / "own"))
    return Scene(meant, [other], "not threads of process", qmp=directory / "proxy")


def a_proxy_of_one_without_vcpus(directory: Path, stack: ExitStack) -> Scene:
    meant = stack.enter_context(bare(directory, "empty", *control(directory / "own")))
    stack.enter_context(proxy(directory / "proxy", directory / "own"))
    return Scene(meant, refused="no vCPU", qmp=directory / "proxy")


def a_proxy_of_one_of_two_with_the_same_thread_ids(directory: Path, stack: ExitStack) -> Scene:
    """Ids of threads are unique in a pid namespace alone: here each QEMU starts as the second process of its own."""
    uuid = ["-uuid", "7a0f7f71-496e-4142-a1e5-ba5bd800390c"]
    prefix = ["unshare", "--pid", "--fork", "--kill-child"]
    one, other = (
        stack.enter_context(
            bare(directory, name, *control(directory / f"own-{name}"), *uuid, prefix=prefix, machine=WITH_CPU)
        )
        for name in ("one", "other")
    )
    stack.enter_context(proxy(directory / "proxy", directory / "own-other"))
    return Scene(one, [other], "could be threads of process", qmp=directory / "proxy")


def the_socket_of_another(directory: Path, stack: ExitStack) -> Scene:
    meant = stack.enter_context(bare(directory, "meant", *control(directory / "own")))
    other = stack.enter_context(bare(directory, "other", *control(directory / "others"), qemu=qemu_binary()))
    return Scene(meant, [other], "is not shown to lead to", qmp=directory / "others")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tcp(directory: Path, stack: ExitStack) -> Scene:
    words = ["-qmp", f"tcp:localhost:{free_port()},server=on,wait=off"]
    return Scene(stack.enter_context(bare(directory, "tcp", *words)))


def tcp_by_ipv6(directory: Path, stack: ExitStack) -> Scene:
    words = ["-chardev", f"socket,id=m,host=::,port={free_port()},server=on,wait=off", "-mon", "m,mode=control"]
    return Scene(stack.enter_context(bare(directory, "tcp6", *words)))


def tcp_in_another_network(directory: Path, stack: ExitStack) -> Scene:
    """At the same port, here, another QEMU listens."""
    words = ["-qmp", f"tcp:127.0.0.1:{free_port()},server=on,wait=off"]
    here = stack.enter_context(bare(directory, "here", *words))
    prefix = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    return Scene(stack.enter_context(bare(directory, "there", *words, prefix=prefix)), [here])


def abstract(directory: Path, stack: ExitStack) -> Scene:
    words = ["-chardev", f"socket,id=m,path={directory}/m,abstract=on,server=on,wait=off", "-mon", "m,mode=control"]
    return Scene(stack.enter_context(bare(directory, "abstract", *words)))


def abstract_padded(directory: Path, stack: ExitStack) -> Scene:
    chardev = f"socket,id=m,path={directory}/m,abstract=on,tight=off,server=on,wait=off"
    return Scene(stack.enter_context(bare(directory, "padded", "-chardev", chardev, "-mon", "m,mode=control")))


def abstract_in_another_network(directory: Path, stack: ExitStack) -> Scene:
    words = ["-chardev", f"socket,id=m,path={directory}/m,abstract=on,server=on,wait=off", "-mon", "m,mode=control"]
    here = stack.enter_context(bare(directory, "here", *words))
    return Scene(stack.enter_context(bare(directory, "there", *words, prefix=["unshare", "--net"])), [here])


def inherited(directory: Path, stack: ExitStack) -> Scene:
    """As systemd and libvirt pass a socket: whoever opened it is nobody of QEMU's."""
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(directory / "passed"))
    listener.listen(1)
    number = listener.fileno()
    words = ["-chardev", f"socket,id=m,fd={number},server=on,wait=off", "-mon", "m,mode=control"]
    meant = stack.enter_context(bare(directory, "inherited", *words, pass_fds=[number]))
    listener.close()
    return Scene(meant)


def relative(directory: Path, stack: ExitStack) -> Scene:
    return Scene(stack.enter_context(bare(directory, "relative", *control("vm.qmp"), cwd=directory)))


def relative_of_a_daemon(directory: Path, stack: ExitStack) -> Scene:
    return Scene(stack.enter_context(bare(directory, "daemon", *control("vm.qmp"), "-daemonize", cwd=directory)))


def in_a_root_of_its_own(directory: Path, stack: ExitStack) -> Scene:
    """It has bound its socket before it went there."""
    (directory / "root").mkdir()
    words = [*control(directory / "vm.qmp"), "-run-with", f"chroot={directory}/root"]
    return Scene(stack.enter_context(bare(directory, "rooted", *words)))


def by_a_configuration_file(directory: Path, stack: ExitStack) -> Scene:
    (directory / "vm.cfg").write_text(
        f'[chardev "m"]\n  backend = "socket"\n  path = "{directory}/vm.qmp"\n  server = "on"\n  wait = "off"\n'
        '[mon "control"]\n  chardev = "m"\n  mode = "control"\n'
    )
    return Scene(stack.enter_context(bare(directory, "configured", "-readconfig", str(directory / "vm.cfg"))))


def a_long_path(directory: Path, stack: ExitStack) -> Scene:
    """Of which there is no room in an address, as QEMU lies below a directory with a long name for us alone."""
    inside = directory / "run"
    inside.mkdir()
    deep = inside / ("x" * (100 - len(str(inside))))
    script = f'mount -t tmpfs none {inside} && mkdir {deep} && exec "$@"'
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    return Scene(stack.enter_context(bare(directory, "long", *control(deep / "q"), prefix=prefix)))


def behind_a_link(directory: Path, stack: ExitStack) -> Scene:
    """An absolute one, of its own root; in ours it leads to another QEMU."""
    inside = directory / "run"
    (inside / "real").mkdir(parents=True)
    here = stack.enter_context(bare(directory, "here", *control(inside / "real/vm.qmp"), qemu=stock_binary()))
    script = f'mount -t tmpfs none {inside} && mkdir {inside}/real && ln -s {inside}/real {inside}/link && exec "$@"'
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    there = stack.enter_context(bare(directory, "there", *control(inside / "link/vm.qmp"), prefix=prefix))
    return Scene(there, [here])


def a_client(directory: Path, stack: ExitStack) -> Scene:
    """Its manager listens, and must not be disturbed."""
    counted = stack.enter_context(counting(directory / "manager"))
    chardev = f"socket,id=m,path={directory}/manager,reconnect=1"
    meant = stack.enter_context(bare(directory, "client", "-chardev", chardev, "-mon", "m,mode=control"))

    def nobody_else() -> None:
        assert counted.connections == 1  # QEMU's own

    return Scene(meant, refused="it is itself a client", checks=[nobody_else])


def sockets_that_are_no_monitors(directory: Path, stack: ExitStack) -> Scene:
    """A serial line, and a human monitor: who comes there first has them for himself."""
    words = ["-chardev", f"socket,id=s,path={directory}/serial,server=on,wait=off", "-device", "isa-serial,chardev=s"]
    meant = stack.enter_context(bare(directory, "serial", *words, machine=WITH_CPU))
    return Scene(meant, refused="was started without a QMP socket")


SCENES: list[Making] = [
    another_mount_namespace,
    the_first_at_one_path,
    the_second_at_one_path,
    a_proxy,
    a_proxy_of_another,
    a_proxy_of_one_without_vcpus,
    a_proxy_of_one_of_two_with_the_same_thread_ids,
    the_socket_of_another,
    tcp,
    tcp_by_ipv6,
    tcp_in_another_network,
    abstract,
    abstract_padded,
    abstract_in_another_network,
    inherited,
    relative,
    relative_of_a_daemon,
    in_a_root_of_its_own,
    by_a_configuration_file,
    a_long_path,
    behind_a_link,
    a_client,
    sockets_that_are_no_monitors,
]


@contextmanager
def scene(make: Making, directory: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        it = make(directory, stack)
        yield it
        for other in it.others:
            if "fake-dirty-mode" in other.said("info migrate_parameters"):
                assert other.mode == "off"
        for check in it.checks:
            check()


@pytest.mark.parametrize("make", SCENES, ids=lambda make: make.__name__)
def test_every_consumer(make: Making, tmp_path: Path) -> None:
    with scene(make, tmp_path) as it:
        told = said("mode", "observe", *it.selector, "--control", str(tmp_path / "none"))
        assert told.returncode == bool(it.refused), told.stderr
        assert it.refused in told.stderr
        assert it.meant.mode == ("off" if it.refused else "observe")

        found = said("doctor", *it.selector, "--json")
        [report] = json.loads(found.stdout)["targets"]
        if not it.refused:
            assert report["version"].startswith("10."), report["qmp"]
        else:
            assert report["version"] is None
            assert all(each["problem"] for each in report["qmp"])
            assert not report["qmp"] or any(it.refused in each["problem"] for each in report["qmp"])

        facts = noted(*it.selector, directory=tmp_path)
        if it.refused:
            assert not {"version", "parameters", "capabilities"} & facts.keys()
        else:
            assert facts["version"]["qemu"]["major"] == 10
        assert facts["pid"] == it.meant.pid

        polled = said("observe", *it.selector, "--level", "qmp", "--once") if it.refused else None
        assert polled is None or polled.returncode == 1


def noted(*selector: str, directory: Path) -> dict[str, Any]:
    """What a recording says of the QEMU that it is of, which goes into manifests."""
    trace = directory / "trace"
    with observe(*selector, "--level", "usdt", "--record", str(trace)) as (process, _):
        process.terminate()
        process.wait()
    facts = Replay(trace).origin.facts["qemu"]
    assert isinstance(facts, dict)
    return facts


ALONE = [make for make in SCENES if "proxy" not in make.__name__ and make is not the_socket_of_another]


@pytest.mark.parametrize("make", ALONE, ids=lambda make: make.__name__)
def test_through_the_service(make: Making, tmp_path: Path) -> None:
    """It knows no sockets but those of the QEMUs themselves."""
    with scene(make, tmp_path) as it, service(tmp_path) as daemon:
        daemon.wait_for(it.meant.pid, *(other.pid for other in it.others))
        told = daemon.said("mode", "observe", "--vm", it.meant.name)
        if it.refused:
            assert (told.returncode, it.meant.mode) == (1, "off"), told.stdout
        else:
            assert (told.returncode, it.meant.mode) == (0, "observe"), told.stderr
        daemon.stop()


def test_a_socket_alone_says_which_qemu_is_meant(tmp_path: Path) -> None:
    """The one that listens there, whatever the command lines of others say; behind a proxy, the one that answers."""
    with ExitStack() as stack:
        where = tmp_path / "vm.qmp"
        words = control(where)
        first, second = (stack.enter_context(bare(tmp_path, name, *words, machine=WITH_CPU)) for name in ("a", "b"))
        stack.enter_context(proxy(tmp_path / "proxy", where))
        for socket_of_b in (where, tmp_path / "proxy"):
            [report] = json.loads(said("doctor", "--qmp", str(socket_of_b), "--json").stdout)["targets"]
            assert report["pid"] == second.pid
            assert said("mode", "skip", "--qmp", str(socket_of_b)).returncode == 0
            assert (first.mode, second.mode) == ("off", "skip")
            assert said("mode", "off", "--qmp", str(socket_of_b)).returncode == 0
        wrong = said("mode", "skip", "--qmp", str(where), "--vm", "a")
        assert (wrong.returncode, second.mode) == (1, "off"), wrong.stdout
        assert f"process {second.pid}" in wrong.stderr


def test_a_mode_is_put_back_on_the_qemu_that_had_it(tmp_path: Path) -> None:
    """Also where another one, with the same mode, listens at that path by then."""
    where = tmp_path / "vm.qmp"
    with bare(tmp_path, "a", *control(where)) as first:
        command = fakedirty("mode", "skip", "--qmp", str(where), "--revert-after", "3")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            wait(lambda: first.mode == "skip")
            with bare(tmp_path, "b", *control(where), "-global", "migration.fake-dirty-mode=skip") as second:
                _, error = client.communicate()
                assert (client.returncode, second.mode) == (1, "skip"), error
                assert "not shown to lead to" in error


def test_a_name_of_two_is_of_none(tmp_path: Path) -> None:
    """Also where the service observes but one of them, as it has just begun."""
    (tmp_path / "other").mkdir()
    with (
        bare(tmp_path, "twin", *control(tmp_path / "one")) as one,
        bare(tmp_path / "other", "twin", *control(tmp_path / "two")) as two,
    ):
        told = said("mode", "skip", "--vm", "twin", "--control", str(tmp_path / "none"))
        assert told.returncode == 2
        assert str(one.pid) in told.stderr
        assert str(two.pid) in told.stderr
        assert (one.mode, two.mode) == ("off", "off")
