"""See, and skip, the fake dirty pages of QEMU live migration."""

__version__ = "0.1.0"
