"""Runs a command in this process's mount namespace with the root that this process has as the root of the namespace.

Who joins the namespace then comes to that root: where the tests run in a chroot, a container engine's `exec` would
come to the machine's own root instead.
"""

import ctypes
import os
import sys

MNT_DETACH = 2
LIBC = ctypes.CDLL(None, use_errno=True)


def called(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def main() -> None:
    root, directory = os.open("/", os.O_PATH), os.getcwd()
    called(LIBC.setns(os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC), 0))
    os.fchdir(root)
    if not os.path.samestat(os.stat("/"), os.stat(".")):
        # the old root comes to lie on the new one, and is taken off it
        called(LIBC.pivot_root(b".", b"."))
        called(LIBC.umount2(b".", MNT_DETACH))
    os.chroot(".")
    os.chdir(directory)
    os.close(root)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
