"""The names of the migration parameters that the patch series adds to QEMU."""

from __future__ import annotations

MODE = "fake-dirty-mode"
HASH = "fake-dirty-hash"
SWITCHOVER = "fake-dirty-switchover"

SET = "migrate-set-parameters"  # the command that sets them
