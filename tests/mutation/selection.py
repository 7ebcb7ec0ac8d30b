"""Which parts are mutated: a sample of the pure ones, and all checks on which security rests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from mutator import Mutation, mutations

PACKAGE = "collector/fakedirty"

#: no input or output: numbers in, numbers or text out
PURE = (
    "model/*.py",
    "format/*.py",
    "observe/decode/*.py",
    "record/columns.py",
    "record/directory_names.py",
    "record/restore.py",
    "record/retention.py",
    "record/rows.py",
    "record/summary.py",
    "qmp/refusals.py",
    "qmp/schema.py",
    "qmp/supported.py",
)

#: functions and classes by file, of which every place is mutated; "" is all of a file
SECURITY = {
    # the proof that a QMP peer is the right process
    "qmp/peer.py": ("",),
    "qmp/connect.py": ("_by_files", "_is_its_own", "_connect_file", "_by_command_line"),
    "qmp/monitor_sockets.py": ("",),
    "qmp/libvirt.py": ("host_of", "DomainMonitor.connect", "DomainMonitor._open"),
    "qmp/client.py": ("Qmp._by", "Qmp.leads_to", "Qmp._prove", "Qmp._doubt_by_threads"),
    "qmp/turn.py": ("turn",),
    "linux/sock_diag.py": ("peer", "file_of", "_attribute"),
    "linux/listening.py": ("canonical_address", "_endpoint", "tcp_rows", "unix_rows", "listeners"),
    "linux/process.py": ("start_ticks", "Process.runs", "Process.resolve", "Process.threads", "Process.uuid",
                         "Process.sockets", "Process.shares"),
    # the control socket, and what a killed service leaves behind
    "service/control.py": ("_listening", "_serve", "_answer", "_has_left"),
    "service/pending_reverts.py": ("read", "_own_text"),
    # who may scrape
    "web/access.py": ("",),
    "web/address.py": ("resolve", "is_loopback"),
    "web/connections.py": ("",),
    "web/web_config.py": ("",),
    "web/yaml_mapping.py": ("",),
    "web/users.py": ("",),
    "web/tls.py": ("",),
    # text and paths of others
    "harmless.py": ("",),
    "errors.py": ("FakedirtyError",),
    "show/terminal.py": ("",),
    "record/directory_names.py": ("",),
    "model/vm_names.py": ("",),
    "grafana/address.py": ("",),
    # descriptors
    "linux/descriptor_limit.py": ("",),
}  # fmt: skip


class MissingPlaceError(Exception):
    """A file or function that is named above does not exist any more."""


def pure(root: Path, count: int, seed: str) -> list[Mutation]:
    """A sample of `count` mutations of the pure parts, one at most at each place.

    A mutation is drawn by its id, so that the sample stays the same where the code does.
    """
    files = sorted({path for pattern in PURE for path in (root / PACKAGE).glob(pattern)})
    found = [each for path in files for each in _of(root, path)]
    return _one_a_place(found, seed)[:count]


def security(root: Path, seed: str) -> list[Mutation]:
    """One mutation at each place of the checks on which security rests."""
    found: list[Mutation] = []
    for file, names in SECURITY.items():
        path = root / PACKAGE / file
        if not path.is_file():
            raise MissingPlaceError(f"{PACKAGE}/{file} is not there: name its successor in selection.py")
        every = _of(root, path)
        for name in names:
            of_name = [each for each in every if not name or _is_in(each.function, name)]
            if not of_name:
                raise MissingPlaceError(f"nothing to mutate in {name or 'all'} of {file}: correct selection.py")
            found += of_name
    return _one_a_place(found, seed)


def _is_in(function: str, name: str) -> bool:
    return function == name or function.startswith(f"{name}.")


def _of(root: Path, path: Path) -> Sequence[Mutation]:
    return mutations(path.read_bytes(), str(path.relative_to(root)))


def _one_a_place(found: Iterable[Mutation], seed: str) -> list[Mutation]:
    def rank(each: Mutation) -> str:
        return hashlib.sha256(f"{seed}:{each.id}".encode()).hexdigest()

    places: dict[tuple[str, int], Mutation] = {}
    for each in sorted(found, key=rank):
        places.setdefault((each.path, each.start), each)
    return list(places.values())
