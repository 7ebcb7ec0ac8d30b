"""Calls a function in the network namespace of another process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from . import libc
from .process import Process

T = TypeVar("T")


def in_network_of(process: Process | None, work: Callable[[], T]) -> T:
    """Call `work` in the network namespace of `process` (None: our own) and return its result.

    A socket belongs to the namespace in which it was made.

    Raises:
        OSError: the namespace may not be entered; or `work` raised it.
    """
    if process is None or process.shares("net"):
        return work()
    future: Future[T] = Future()
    namespace = os.open(process.directory / "ns" / "net", os.O_RDONLY | os.O_CLOEXEC)
    try:  # a thread of its own enters the namespace, and ends in it
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
    except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
        future.set_exception(error)
