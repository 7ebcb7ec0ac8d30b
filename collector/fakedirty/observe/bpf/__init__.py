"""BPF programs on functions and trace events of QEMU: compile them, attach them, and read their events."""
