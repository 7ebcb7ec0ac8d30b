"""QMP: connections to a QEMU, the proof that it is the right one, and the control of its fake dirty mode."""
