"""Workloads that are programs in the guest of services: each kind, with the words that start its program."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from fakedirty.errors import UsageError
from fakedirty.lab.guests.services import OWN_MIB, PORT, build_services
from fakedirty.toml.tables import Table, refuse

from .operations import operations, wait_for_operations
from .throughput import Meter

KEY_AND_HEADER_BYTES = 100  # what a store keeps with each value, about
RECORD_BYTES = 1000  # as in ycsb.c


def check_room(working_mib: float, memory_mib: int) -> None:
    """Check that a guest of services has room for the memory that its program works on.

    Args:
        working_mib: the memory of the program, in MiB.
        memory_mib: the memory of the guest, in MiB.

    Raises:
        UsageError: it has not.
    """
    if (needed := OWN_MIB + working_mib) > memory_mib:
        raise UsageError(f"it needs a guest of {needed:.0f} MiB, and this one has {memory_mib} MiB")


class ProgramLoad:
    """A program in the guest of services; it reports over virtio-serial.

    Args:
        memory_mib: memory of the guest, in MiB.
        words: what ``guests/services/init`` starts: the program and its arguments.
    """

    service_file = PORT
    boot_seconds = 15.0

    def __init__(self, memory_mib: int, words: Sequence[str]) -> None:
        self._services = build_services()
        self._memory_mib = memory_mib
        self._words = words

    @property
    def memory_mib(self) -> int:
        """As :attr:`fakedirty.lab.guest_load.GuestLoad.memory_mib`."""
        return self._memory_mib

    def arguments(self, directory: Path) -> list[str]:
        """As :meth:`fakedirty.lab.guest_load.GuestLoad.arguments`."""
        return self._services.qemu_arguments(self._memory_mib, self._words, directory)

    def wait(self, directory: Path, seconds: float, check_alive: Callable[[], object]) -> None:
        """As :meth:`fakedirty.lab.guest_load.GuestLoad.wait`."""
        wait_for_operations(directory / PORT, seconds=seconds, check_alive=check_alive)

    def meter(self) -> Meter:
        """As :meth:`.metered_load.MeteredLoad.meter`."""
        return operations

    def facts(self) -> dict[str, object]:
        """As :meth:`.metered_load.MeteredLoad.facts`."""
        return {"guest": "services", "build": self._services.directory.name, "program": " ".join(self._words)}


class Program(Table):
    """What the kinds have in common."""

    guest: ClassVar[str] = "linux"

    @property
    @abstractmethod
    def needed_mib(self) -> float:
        """Memory that the program works on, in MiB."""

    @property
    @abstractmethod
    def words(self) -> list[str]:
        """The program and its arguments."""

    def check(self, memory_mib: int) -> None:
        """As :meth:`.kinds.WorkloadKind.check`."""
        check_room(self.needed_mib, memory_mib)

    def load(self, memory_mib: int) -> ProgramLoad:
        """As :meth:`.kinds.WorkloadKind.load`."""
        return ProgramLoad(memory_mib, self.words)

    @property
    def boot_seconds(self) -> float:
        """As :attr:`.kinds.WorkloadKind.boot_seconds`."""
        return ProgramLoad.boot_seconds


class Quicksort(Program):
    """``kind = "quicksort"``: fills arrays of 1,024 bytes with random integers and sorts them. The program is ours."""

    kind: Literal["quicksort"] = "quicksort"
    size_mib: float = Field(default=64.0, ge=1)

    @property
    def needed_mib(self) -> float:
        """The arrays."""
        return self.size_mib

    @property
    def words(self) -> list[str]:
        """As :attr:`Program.words`."""
        return ["quicksort", f"{self.size_mib:g}"]


class SysbenchCpu(Program):
    """``kind = "sysbench-cpu"``: looks for prime numbers up to `max_prime`."""

    kind: Literal["sysbench-cpu"] = "sysbench-cpu"
    max_prime: int = Field(default=2000, ge=3)

    @property
    def needed_mib(self) -> float:
        """Too little to count."""
        return 0

    @property
    def words(self) -> list[str]:
        """As :attr:`Program.words`."""
        return ["sysbench", "cpu", f"--cpu-max-prime={self.max_prime}"]


class SysbenchMemory(Program):
    """``kind = "sysbench-memory"``: writes or reads one block of memory, over and over."""

    kind: Literal["sysbench-memory"] = "sysbench-memory"
    block_kib: int = Field(default=1024, ge=1)
    operation: Literal["write", "read"] = "write"
    access: Literal["seq", "rnd"] = "seq"

    @field_validator("block_kib")
    @classmethod
    def _power_of_two(cls, kib: int) -> int:
        if kib & (kib - 1):
            raise refuse(f"sysbench takes powers of two, not {kib}")
        return kib

    @property
    def needed_mib(self) -> float:
        """The block, which all threads share."""
        return self.block_kib / 1024

    @property
    def words(self) -> list[str]:
        """As :attr:`Program.words`. A total size of 0 has no end."""
        size, access = f"--memory-block-size={self.block_kib}K", f"--memory-access-mode={self.access}"
        return ["sysbench", "memory", size, access, f"--memory-oper={self.operation}", "--memory-total-size=0"]


class Memcached(Program):
    """``kind = "memcached"``: memcached under memcaslap, which gets a key nine times for each time it sets one."""

    kind: Literal["memcached"] = "memcached"
    size_mib: int = Field(default=64, ge=16)
    value_bytes: int = Field(default=1024, ge=1, le=1 << 19)
    concurrency: int = Field(default=16, ge=1)

    @property
    def needed_mib(self) -> float:
        """The memory of the server, and a quarter of it for the client, which keeps a list of its keys."""
        return self.size_mib * 1.25

    @property
    def words(self) -> list[str]:
        """As :attr:`Program.words`. The windows of the client hold about as many keys as the memory of the server."""
        records = self.size_mib * (1 << 20) // (self.value_bytes + KEY_AND_HEADER_BYTES)
        window = max(1, records // self.concurrency // 1024)  # memcaslap takes thousands
        client = ["-c", str(self.concurrency), "-w", f"{window}k", "-X", str(self.value_bytes)]
        return ["memcaslap", str(self.size_mib), *client]


class Ycsb(Program):
    """``kind = "ycsb"``: a core workload of YCSB on memcached or redis. The client is ours."""

    kind: Literal["ycsb"] = "ycsb"
    workload: Literal["A", "B", "C", "D", "E", "F"] = "A"
    store: Literal["memcached", "redis"] = "memcached"
    records: int = Field(default=20_000, ge=100)

    @property
    def needed_mib(self) -> int:
        """The memory of the store: twice what the records take, because some workloads add records."""
        return 16 + 2 * self.records * (RECORD_BYTES + KEY_AND_HEADER_BYTES) // (1 << 20)

    @property
    def words(self) -> list[str]:
        """As :attr:`Program.words`."""
        return ["ycsb", self.store, str(self.needed_mib), self.workload, str(self.records)]


#: the kinds by name
PROGRAMS: dict[str, type[Program]] = {
    "quicksort": Quicksort,
    "sysbench-cpu": SysbenchCpu,
    "sysbench-memory": SysbenchMemory,
    "memcached": Memcached,
    "ycsb": Ycsb,
}
