"""The service of a host, the observation of one QEMU, and what both are made of: options, outputs, signals."""
