"""The names of the migration parameters that the patch series adds to QEMU."""

from __future__ import annotations

MODE = "fake-dirty-mode"
HASH = "fake-dirty-hash"
SWITCHOVER = "fake-dirty-switchover"
SWEEP = "fake-dirty-sweep"
AUDIT = "fake-dirty-audit"
WEAK_HASH = "fake-dirty-allow-weak-hash"

SET = "migrate-set-parameters"  # the command that sets them
