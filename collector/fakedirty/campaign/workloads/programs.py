"""Workloads that are programs in the guest of services: the kinds, each with the words that its program is given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from fakedirty.campaign.validation import Table, refuse
from fakedirty.errors import UsageError
from fakedirty.lab.guests.services import OWN_MIB, PORT, build_services

from .operations import operations, wait_for_operations
from .throughput import Meter

KEY_AND_HEADER_BYTES = 100  # what a store keeps with each value, about
RECORD_BYTES = 1000  # as in ycsb.c


def check_room(working_mib: float, memory_mib: int) -> None:
    """UsageError where a guest of services of `memory_mib` has no room for what its program works on."""
    if (needed := OWN_MIB + working_mib) > memory_mib:
        raise UsageError(f"it needs a guest of {needed:.0f} MiB, and it has {memory_mib}")


class ProgramLoad:
    """A program at work in the guest of services; it reports over virtio-serial."""

    service_file = PORT
    boot_seconds = 15.0

    def __init__(self, memory_mib: int, words: Sequence[str]) -> None:
        self._services = build_services()
        self._memory_mib = memory_mib
        self._words = words

    def arguments(self, directory: Path) -> list[str]:
        """As :meth:`.workloads.Load.arguments`."""
        return self._services.qemu_arguments(self._memory_mib, self._words, directory)

    def wait(self, directory: Path, seconds: float, check_alive: Callable[[], object]) -> None:
        """As :meth:`.workloads.Load.wait`."""
        wait_for_operations(directory / PORT, seconds=seconds, check_alive=check_alive)

    def meter(self) -> Meter:
        """As :meth:`.workloads.Load.meter`."""
        return operations

    def facts(self) -> dict[str, object]:
        """As :meth:`.workloads.Load.facts`."""
        return {"guest": "services", "build": self._services.directory.name, "program": " ".join(self._words)}


class Program(Table):
    """What the kinds have in common."""

    guest: ClassVar[str] = "linux"

    @property
    @abstractmethod
    def needed_mib(self) -> float:
        """Memory that it works on."""

    @property
    @abstractmethod
    def words(self) -> list[str]:
        """What ``guests/services/init`` is to start."""

    def check(self, memory_mib: int) -> None:
        """As :meth:`.workloads.Kind.check`."""
        check_room(self.needed_mib, memory_mib)

    def load(self, memory_mib: int) -> ProgramLoad:
        """As :meth:`.workloads.Kind.load`."""
        return ProgramLoad(memory_mib, self.words)

    @property
    def boot_seconds(self) -> float:
        """As :attr:`.workloads.Kind.boot_seconds`."""
        return ProgramLoad.boot_seconds


class Quicksort(Program):
    """``kind = "quicksort"``: arrays of 1,024 bytes, filled with random integers and sorted; a program of ours."""

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
    """``kind = "sysbench-cpu"``: looks for prime numbers."""

    kind: Literal["sysbench-cpu"] = "sysbench-cpu"
    max_prime: int = Field(default=2000, ge=3)

    @property
    def needed_mib(self) -> float:
        """None to speak of."""
        return 0

    @property
    def words(self) -> list[str]:
        """As :attr:`Program.words`."""
        return ["sysbench", "cpu", f"--cpu-max-prime={self.max_prime}"]


class SysbenchMemory(Program):
    """``kind = "sysbench-memory"``: writes or reads a block of memory, over and over."""

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
        """As :attr:`Program.words`; no end is in sight."""
        size, access = f"--memory-block-size={self.block_kib}K", f"--memory-access-mode={self.access}"
        return ["sysbench", "memory", size, access, f"--memory-oper={self.operation}", "--memory-total-size=0"]


class Memcached(Program):
    """``kind = "memcached"``: memcached under memcaslap, which asks nine times for each time it sets."""

    kind: Literal["memcached"] = "memcached"
    size_mib: int = Field(default=64, ge=16)
    value_bytes: int = Field(default=1024, ge=1, le=1 << 19)
    concurrency: int = Field(default=16, ge=1)

    @property
    def needed_mib(self) -> float:
        """The server's memory; the client keeps a list of its keys besides."""
        return self.size_mib * 1.25

    @property
    def words(self) -> list[str]:
        """As :attr:`Program.words`; the client's windows hold about as many keys as the server's memory."""
        records = self.size_mib * (1 << 20) // (self.value_bytes + KEY_AND_HEADER_BYTES)
        window = max(1, records // self.concurrency // 1024)  # memcaslap takes thousands
        client = ["-c", str(self.concurrency), "-w", f"{window}k", "-X", str(self.value_bytes)]
        return ["memcaslap", str(self.size_mib), *client]


class Ycsb(Program):
    """``kind = "ycsb"``: the core workloads of YCSB on memcached or redis, by a client of ours."""

    kind: Literal["ycsb"] = "ycsb"
    workload: Literal["A", "B", "C", "D", "E", "F"] = "A"
    store: Literal["memcached", "redis"] = "memcached"
    records: int = Field(default=20_000, ge=100)

    @property
    def needed_mib(self) -> int:
        """The store's: twice what the records take, since some workloads add to them."""
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
