"""Checks before the work begins that its output can be written, so that an error does not come at its end.

The check writes to a nameless file in the nearest directory that exists, and leaves nothing behind. So permissions,
capabilities, read-only mounts, attributes and quotas have the same effect as later.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from pathlib import Path

from fakedirty.errors import UsageError

_LEAST_BYTES = 1 << 14  # of free space: for a directory and its first files
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_ADVICE = {
    **dict.fromkeys(_FULL, "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
    errno.ENOENT: "make it",
}

_log = logging.getLogger(__name__)


def check_directory(path: Path, what: str, *, may_be_full: bool = False) -> None:
    """Check that files and directories can be made in a directory.

    Args:
        path: the directory; it need not exist yet.
        what: the option that names it, for the message.
        may_be_full: log a warning for a full disk instead, because something else makes room on it.

    Raises:
        UsageError: they cannot.
    """
    try:
        _check_directory(path)
    except (OSError, ValueError) as error:
        if may_be_full and isinstance(error, OSError) and error.errno in _FULL:
            _log.warning("%s %s: %s; nothing is recorded until there is room", what, path, error.strerror)
            return
        raise _refused(path, what, error) from error


def check_file(path: Path, what: str, *, replaced: bool = True) -> None:
    """Check that a file can be written.

    Args:
        path: the file; its directory must exist.
        what: the option that names it, for the message.
        replaced: an existing file may be overwritten.

    Raises:
        UsageError: it cannot.
    """
    try:
        if not _is_there(path):
            _try(path.parent)
        elif not path.exists():
            raise OSError(errno.ENOENT, f"it is a symbolic link to {os.readlink(path)}, which is not there")
        elif not replaced:
            raise UsageError(f"{path} exists: name another file for {what}, or remove it")
        elif path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a directory: name a file")
        elif not os.access(path, os.W_OK, effective_ids=True):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # raises the error with its reason
    except (OSError, ValueError) as error:
        raise _refused(path, what, error) from error


def _check_directory(path: Path) -> None:
    there = path
    while not _is_there(there):
        there = there.parent
    if not there.exists():
        raise OSError(errno.ENOENT, f"{there} is a symbolic link to {os.readlink(there)}, which is not there")
    _try(there)


def _is_there(path: Path) -> bool:
    """Whether anything exists at `path`, a broken symbolic link included. OSError where that cannot be found out."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _try(directory: Path) -> None:
    if not directory.is_dir():
        if directory.exists():
            raise NotADirectoryError(errno.ENOTDIR, f"{directory} is there, and is no directory")
        raise FileNotFoundError(errno.ENOENT, f"there is no directory {directory}")
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            file.write(bytes(_LEAST_BYTES))
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} ({directory}, as user {os.geteuid()})") from error


def _refused(path: Path, what: str, error: OSError | ValueError) -> UsageError:
    reason = getattr(error, "strerror", None) or str(error)
    number = getattr(error, "errno", None)
    advice = _ADVICE.get(number or 0, "correct it")
    return UsageError(f"cannot write to {what} {path}: {reason}; {advice}, or name another place")
