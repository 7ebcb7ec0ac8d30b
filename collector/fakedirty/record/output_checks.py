"""Places to write to, tried before work begins: what cannot be kept is known at the start, not at its end.

A place is tried by writing to the nearest directory that is there, in a file that has no name and leaves nothing.
So rights, capabilities, mounts for reading only, attributes and quotas count as they will.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from pathlib import Path

from fakedirty.errors import UsageError

_LEAST_BYTES = 1 << 14  # of room: a directory, its first files
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_ADVICE = {
    **dict.fromkeys(_FULL, "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
    errno.ENOENT: "make it",
}

_log = logging.getLogger(__name__)


def check_directory(path: Path, what: str, *, may_be_full: bool = False) -> None:
    """UsageError where nothing can be recorded into the directory `path`, which need not be there yet.

    Args:
        path: where files and directories are to be made.
        what: the option that names it, for the message.
        may_be_full: a disk without room is a warning, because something else makes room on it.
    """
    try:
        _check_directory(path)
    except (OSError, ValueError) as error:
        if may_be_full and isinstance(error, OSError) and error.errno in _FULL:
            _log.warning("%s %s: %s; nothing is recorded until there is room", what, path, error.strerror)
            return
        raise _refused(path, what, error) from error


def check_file(path: Path, what: str, *, replaced: bool = True) -> None:
    """UsageError where the file `path` cannot be written; its directory must be there.

    Args:
        path: the file.
        what: the option that names it, for the message.
        replaced: whether one that is there may be written over.
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
            # says why
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
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
    """Whether anything is, a link to nowhere too. OSError where that cannot be known, or could never be."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _try(directory: Path) -> None:
    """Write into it, with nothing left."""
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
