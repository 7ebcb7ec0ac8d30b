"""A collector of one QEMU that attaches its probes to the executable, as the service does: all QEMUs of it run them.

``python -m fakedirty.lab.bench.second_collector PID LEVEL`` prints ``attached`` on standard error, and ends at SIGTERM.
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
    """Observe process `pid` at `level` until SIGTERM."""
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
