"""Work in the network namespace of another process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from . import libc
from .process import Process

T = TypeVar("T")


def within(process: Process | None, work: Callable[[], T]) -> T:
    """What `work` returns, done in the network namespace of `process` (None: in ours).

    A socket belongs to the namespace that it was made in. Raises OSError where that may not be entered, or of `work`.
    """
    if process is None or process.shares("net"):
        return work()
    future: Future[T] = Future()
    namespace = os.open(process.directory / "ns" / "net", os.O_RDONLY | os.O_CLOEXEC)
    try:  # a namespace is entered by one thread, which ends there
        thread = threading.Thread(target=_do, args=(namespace, work, future), name="network namespace")
        thread.start()
        thread.join()
    finally:
        os.close(namespace)
    return future.result()


def _do(namespace: int, work: Callable[[], T], future: Future[T]) -> None:
    try:
        libc.setns(namespace, libc.CLONE_NEWNET)
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        future.set_exception(error)
