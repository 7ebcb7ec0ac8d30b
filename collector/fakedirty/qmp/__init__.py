"""QMP: one connection to one QEMU, with errors that say what to do."""
