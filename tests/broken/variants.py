"""All broken variants, and those of one release of QEMU."""

from __future__ import annotations

from pathlib import Path

import file_variants
import multifd_variants
import postcopy_variants
import record_variants
import switchover_variants
from variant import Variant

VARIANTS: tuple[Variant, ...] = (
    *record_variants.VARIANTS,
    *switchover_variants.VARIANTS,
    *multifd_variants.VARIANTS,
    *file_variants.VARIANTS,
    *postcopy_variants.VARIANTS,
)


def of_release(release: str, parts: Path) -> list[Variant]:
    """The variants of a release, whose sub-series are the directories in `parts`."""
    return [
        variant
        for variant in VARIANTS
        if variant.release in ("", release) and (not variant.part or (parts / variant.part).is_dir())
    ]
