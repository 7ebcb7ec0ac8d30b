"""Observe running QEMUs: probes or QMP produce trace records, and readers decode them into events of the model."""
