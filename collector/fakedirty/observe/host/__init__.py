"""The QEMU processes of this host, and everything on the host that decides whether they can be observed."""
