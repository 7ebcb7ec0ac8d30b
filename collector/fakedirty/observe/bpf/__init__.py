"""BPF programs on the functions and trace events of QEMU: compiled, attached, and their records read."""
