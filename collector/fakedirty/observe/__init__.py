"""From a running QEMU to events of the model: probes, traces and QMP polling."""
