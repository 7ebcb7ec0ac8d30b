"""Observe running QEMUs: probes or QMP make records of a trace, and readers make events of the model of them."""
