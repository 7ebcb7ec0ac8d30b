"""A broken variant of the patch series: a few edits that take one rule of safe skipping out.

An edit names its place by a pattern that must occur exactly once in the patched source. If the patch series has moved
on, it fails and does not build something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MIGRATION = "migration/migration.c"
RAM = "migration/ram.c"
SERIES = "migration/fake-dirty.c"
SHARED = "migration/fake-dirty-internal.h"
VISIT = "migration/fake-dirty-visit.c"
LOOK = "migration/fake-dirty-look.c"
ESTIMATE = "migration/fake-dirty-estimate.c"
CHANNEL = "migration/fake-dirty-channel.c"
MULTIFD = "migration/multifd-nocomp.c"
ZERO_PAGES = "migration/multifd-zero-page.c"
ZLIB, ZSTD = "migration/multifd-zlib.c", "migration/multifd-zstd.c"
FILE = "migration/file.c"

TESTS = "tests/integration/"


class MovedError(Exception):
    """The patch series no longer has the place of an edit."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces `pattern`, a regular expression, by `text` in `file`.

    If no patch has the place of the edit, it is in QEMU's `own` source.
    """

    file: str
    pattern: str
    text: str
    own: bool = False

    def applied(self, source: str) -> str:
        """Edit the source of the file; MovedError unless the pattern occurs exactly once."""
        edited, count = re.subn(self.pattern, lambda _match: self.text, source)
        if count != 1:
            raise MovedError(f"{self.file}: {self.pattern!r} occurs {count} times, not once: write the edit anew")
        return edited


@dataclass(frozen=True, slots=True)
class Variant:
    """A QEMU that breaks one rule of safe skipping.

    Attributes:
        name: of the variant.
        rule: its number in the design, or what it is about.
        description: what QEMU does wrong.
        edits: of the patched source.
        wrong_counts: whether it leaves wrong counts, and no wrong page.
        may_hang: whether it may also leave a migration without an end, which the fuzz reports as an error.
        test: the integration test that finds it, if no plan of the fuzz exercises it.
        part: the sub-series that it edits; a release may lack it.
        plans: the kind of plans that can exercise it, see `plans.PLANS`.
        release: the only release of QEMU that has the place of its edits; empty: all of them.
        excluded: why it is only run if it is named: it shows too rarely, or neither fuzz nor tests can find it.
    """

    name: str
    rule: int | str
    description: str
    edits: tuple[Edit, ...]
    wrong_counts: bool = False
    may_hang: bool = False
    test: str = ""
    part: str = ""
    plans: str = ""
    release: str = ""
    excluded: str = ""
