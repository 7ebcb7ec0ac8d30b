"""The programs that we wrote for the guest of services, run on this host."""

from __future__ import annotations

import ctypes
import random
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from compiler import gcc
from fakedirty.package_files import carried

SOURCES = carried("guests") / "services"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread")
ITEMS = 1000
CONSTANT = 0.99
LAG = 1 / 32  # a bucket of the histogram


def library(directory: Path, *sources: str, flags: tuple[str, ...] = ()) -> ctypes.CDLL:
    """C files of the guest as a library."""
    file = directory / f"{sources[0]}.so"
    gcc(*FLAGS, *flags, "-shared", "-fPIC", "-o", file, *(SOURCES / name for name in sources), "-lm")
    return ctypes.CDLL(str(file))


@pytest.fixture(scope="module")
def ycsb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("ycsb") / "ycsb"
    sources = [SOURCES / name for name in ("ycsb.c", "meter.c", "store.c", "zipfian.c")]
    gcc(*FLAGS, "-o", program, *sources, "-lm")
    return program


class Zipfian(ctypes.Structure):
    _fields_ = (("items", ctypes.c_uint64), ("zeta", ctypes.c_double), ("zeta_of_two", ctypes.c_double))


@pytest.mark.parametrize("steps", [[ITEMS], [1, 2, 10, ITEMS]], ids=["at once", "grown"])
def test_zipfian_numbers_come_as_often_as_they_should(tmp_path: Path, steps: list[int]) -> None:
    code = library(tmp_path, "zipfian.c")
    code.zipfian_item.restype, code.zipfian_item.argtypes = ctypes.c_uint64, (ctypes.c_void_p, ctypes.c_double)
    zipfian = Zipfian()
    for items in steps:
        code.zipfian_grow(ctypes.byref(zipfian), ctypes.c_uint64(items))
    weights = np.arange(1, ITEMS + 1) ** -CONSTANT
    assert zipfian.zeta == pytest.approx(weights.sum())
    draws = 100_000
    drawn = [code.zipfian_item(ctypes.byref(zipfian), (number + 0.5) / draws) for number in range(draws)]
    counts = np.bincount(drawn, minlength=ITEMS)
    assert len(counts) == ITEMS
    expected, measured = weights.cumsum() / weights.sum(), counts.cumsum() / draws
    assert measured[:2] == pytest.approx(expected[:2], abs=1e-4)  # exact in the method
    assert np.abs(measured - expected).max() < 0.02  # an approximation of the rest
    assert counts[-1] > 0


def test_uniform_numbers_are_uniform(tmp_path: Path) -> None:
    code = library(tmp_path, "zipfian.c")
    code.uniform.restype = ctypes.c_double
    state = ctypes.c_uint64(1)
    drawn = np.array([code.uniform(ctypes.byref(state)) for _ in range(20_000)])
    assert ((drawn >= 0) & (drawn < 1)).all()
    assert np.histogram(drawn, bins=10, range=(0, 1))[0] == pytest.approx(2000, abs=200)


@pytest.mark.parametrize(
    "values",
    [
        random.Random(1).choices(range(-(2**31), 2**31), k=256),
        random.Random(2).choices(range(4), k=256),
        list(range(256)),
        list(range(256, 0, -1)),
        [7] * 256,
        [2**31 - 1, -(2**31), 0],
        [2, 1],
        [1],
    ],
    ids=["random", "few values", "sorted", "reversed", "equal", "extremes", "two", "one"],
)
def test_quicksort_sorts(tmp_path: Path, values: list[int]) -> None:
    code = library(tmp_path, "quicksort.c", "meter.c", flags=("-Dstatic=", "-Dmain=program"))
    array = (ctypes.c_int32 * len(values))(*values)
    last = ctypes.byref(array, 4 * (len(values) - 1))
    code.quicksort(array, last)
    assert list(array) == sorted(values)


def test_a_report_has_the_operations_and_their_latencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = tmp_path / "port"
    monkeypatch.setenv("METER", str(port))
    code = library(tmp_path, "meter.c")
    code.meter_open()
    generator = random.Random(3)
    latencies = [int(generator.lognormvariate(12, 2)) for _ in range(5000)]
    for latency in latencies:
        code.meter_latency(ctypes.c_uint64(latency))
        code.meter_operations(ctypes.c_uint64(2))
    code.meter_report()
    code.meter_report()
    first, second = port.read_text().splitlines()
    word, done, interval_us, median_us, p99_us = first.split()
    assert (word, int(done)) == ("operations", 10_000)
    assert int(interval_us) > 0
    for reported, percent in ((median_us, 50), (p99_us, 99)):
        exact = np.percentile(latencies, percent, method="inverted_cdf") / 1000
        assert exact * (1 - LAG) - 0.1 <= float(reported) <= exact + 0.1
    assert second.split()[:2] == ["operations", "0"]
    assert len(second.split()) == 3  # without operations there is no latency


class Recorder:
    """A store with memcached's protocol that notes the word and the keys of each request."""

    def __init__(self, records: int, more: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stored: set[str] = set()
        self._records, self._more = records, more
        self.requests: list[tuple[str, list[str]]] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Serve one client, until it has loaded the records and made `more` requests."""
        connection, _ = self._listener.accept()
        with self._listener, connection, connection.makefile("rb") as incoming:
            while len(self.requests) < self._records + self._more:
                word, *rest = incoming.readline().decode().split()
                if word == "set":
                    self.requests.append(("update" if rest[0] in self._stored else "insert", rest[:1]))
                    self._stored.add(rest[0])
                    value = incoming.read(int(rest[3]) + 2)
                    assert len(value) == 1002
                    connection.sendall(b"STORED\r\n")
                else:
                    self.requests.append((word, rest))
                    known = [key for key in rest if key in self._stored]
                    values = [f"VALUE {key} 0 3\r\nxyz\r\n" for key in known]
                    connection.sendall("".join([*values, "END\r\n"]).encode())
        del self.requests[: self._records]


@pytest.fixture
def requests(ycsb: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[tuple[str, list[str]]]]:
    """The first requests of a workload on 500 records. They are the same in every run."""
    recorder = Recorder(records=500, more=4000)
    command = [str(ycsb), "memcached", request.param, "500", str(recorder.port)]
    with subprocess.Popen(command, env={"METER": str(tmp_path / "port")}, stderr=subprocess.DEVNULL) as client:
        try:
            recorder.serve()
            yield recorder.requests
        finally:
            client.kill()


def shares(requests: list[tuple[str, list[str]]]) -> dict[str, float]:
    counts = Counter("scan" if word == "get" and len(keys) > 1 else word for word, keys in requests)
    return {word: count / len(requests) for word, count in counts.items()}


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ("A", {"get": 0.5, "update": 0.5}),
        ("B", {"get": 0.95, "update": 0.05}),
        ("C", {"get": 1.0}),
        ("D", {"get": 0.95, "insert": 0.05}),
        ("E", {"scan": 0.95 * 0.99, "get": 0.95 * 0.01, "insert": 0.05}),  # a scan of one record is a get
        ("F", {"get": 2 / 3, "update": 1 / 3}),  # what is modified is read first
    ],
    indirect=["requests"],
)
def test_ycsb_has_the_mix_of_its_workload(requests: list[tuple[str, list[str]]], expected: dict[str, float]) -> None:
    assert shares(requests) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("requests", ["C"], indirect=True)
def test_ycsb_reads_few_records_often_and_they_are_scattered(requests: list[tuple[str, list[str]]]) -> None:
    frequent = Counter(keys[0] for _, keys in requests).most_common(10)
    weights = np.arange(1, 501) ** -CONSTANT
    assert frequent[0][1] / len(requests) == pytest.approx(weights[0] / weights.sum(), abs=0.04)
    numbers = sorted(int(key.removeprefix("user")) for key, _ in frequent)
    assert numbers[-1] - numbers[0] > 250


@pytest.mark.parametrize("requests", ["D"], indirect=True)
def test_ycsb_d_reads_the_newest_records(requests: list[tuple[str, list[str]]]) -> None:
    newest, behind = 499, []
    for word, [key] in requests:
        number = int(key.removeprefix("user"))
        if word == "insert":
            assert number == newest + 1
            newest = number
        else:
            behind.append(newest - number)
    assert min(behind) == 0
    assert np.median(behind) < 50


@pytest.mark.parametrize("requests", ["E"], indirect=True)
def test_ycsb_e_scans_up_to_a_hundred_records_in_a_row(requests: list[tuple[str, list[str]]]) -> None:
    lengths = [len(keys) for word, keys in requests if word == "get"]
    assert (min(lengths), max(lengths)) == (1, 100)
    assert np.mean(lengths) == pytest.approx(50.5, abs=2)
    for word, keys in requests[:50]:
        if word == "get":
            numbers = [int(key.removeprefix("user")) for key in keys]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize(
    ("words", "report"),
    [
        (["memcached", "G", "10"], "error ycsb STORE A-F RECORDS [PORT]\n"),
        (["memcached", "A", "0"], "error ycsb STORE A-F RECORDS [PORT]\n"),
        (["disk", "A", "10"], "error no such store: disk\n"),
    ],
)
def test_ycsb_reports_errors_on_its_port(ycsb: Path, tmp_path: Path, words: list[str], report: str) -> None:
    port = tmp_path / "port"
    done = subprocess.run([str(ycsb), *words], env={"METER": str(port)}, capture_output=True, check=False)
    assert done.returncode == 1
    assert port.read_text() == report
