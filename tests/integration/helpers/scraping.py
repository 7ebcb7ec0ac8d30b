"""Debian's Prometheus beside a test, and clients that scrape as it does, only more."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
PATIENCE = 60  # seconds; a failure, never a measurement

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
    return content


@contextmanager
def prometheus(target: str, directory: Path, access: dict[str, Any] | None = None) -> Iterator[str]:
    """The address of a Prometheus that scrapes `target` with the provisioned configuration and rules, only faster.

    `access` is what the configuration says beside it of how to get there.
    """
    provisioned = ROOT / "dashboards/prometheus/prometheus.yml"
    configured = yaml.safe_load(provisioned.read_text())
    configured["global"]["evaluation_interval"] = "1s"
    configured["rule_files"] = [str(provisioned.parent / files) for files in configured["rule_files"]]
    (scrape,) = configured["scrape_configs"]
    scrape |= {"static_configs": [{"targets": [target]}], "scrape_interval": "200ms", **(access or {})}
    config = directory / "prometheus.yml"
    config.write_text(yaml.safe_dump(configured))
    address = f"127.0.0.1:{free_port()}"
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: fetch(f"http://{address}/-/ready"), process)
        yield address
    finally:
        process.terminate()
        process.wait()


def wait_for(look: Any, process: subprocess.Popen[bytes] | None = None) -> Any:
    """What `look` gives, once it gives something."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if found := look():
                return found
        except (urllib.error.URLError, ConnectionError):
            pass
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


def ask(address: str, what: str, **parameters: object) -> Any:
    answer = json.loads(fetch(f"http://{address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"))
    assert answer["status"] == "success", answer
    return answer["data"]


def values(address: str, query: str) -> list[str]:
    """Those of the series that `query` finds."""
    return [found["value"][1] for found in ask(address, "query", query=query)["result"]]


class Scrapers:
    """Clients side by side, each of which scrapes again and again, and sees counters that only grow."""

    def __init__(self, url: str, counter: str, clients: int = 16) -> None:
        self.scrapes = 0
        self.faults: list[str] = []
        self._url = url
        self._sample = re.compile(rf"^({counter}_total{{.*}}) (\S+)", re.MULTILINE)
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._scrape, args=(number % 2 == 0,)) for number in range(clients)]

    def __enter__(self) -> Scrapers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _scrape(self, openmetrics: bool) -> None:
        seen: dict[str, float] = {}
        request = urllib.request.Request(self._url, headers=OPENMETRICS if openmetrics else {})
        while not self._enough.is_set():
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    text = (gzip.decompress(answer.read()) if openmetrics else answer.read()).decode()
            except OSError as error:
                self.faults.append(repr(error))
                return
            found = {series: float(value) for series, value in self._sample.findall(text)}
            fallen = [series for series, value in seen.items() if found.get(series, -1) < value]
            self.faults += [f"{series} fell from {seen[series]} to {found.get(series)}" for series in fallen]
            seen = found
            with self._lock:
                self.scrapes += 1
