"""A collector of one QEMU whose probes lie on its executable, as the service's do: what others of the build pay for it.

``python -m fakedirty.lab.bench.second_collector PID LEVEL`` says ``attached`` on standard error, and ends at SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import threading

from fakedirty.model.enums import Level
from fakedirty.observe.bpf.attachments import Attachments
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer


def main(pid: int, level: Level) -> None:
    """Observe until told to stop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    attachments = Attachments(every_process=True)
    observer = Observer(LiveTrace(by_pid(pid), level, attachments=attachments), [])
    observer.attach()
    try:
        sys.stderr.write("attached\n")
        sys.stderr.flush()
        observer.run(stop.is_set)
    finally:
        observer.close()
        attachments.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), Level(Level.parse(sys.argv[2])))
