"""QMP: the connection to a QEMU, and the switch of the fake dirty mode."""
