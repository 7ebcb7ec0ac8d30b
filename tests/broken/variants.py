"""The broken variants: for each rule of safe skipping, the least change to the series that takes it out.

A change names a place by a pattern that must be found exactly once in the patched source, so that it fails
loudly when the series has moved on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RAM = "migration/ram.c"
SERIES = "migration/fake-dirty.c"


class MovedError(Exception):
    """The series no longer has what a change is made to."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`pattern`, a regular expression, is replaced by `text` in `file`."""

    file: str
    pattern: str
    text: str

    def applied(self, source: str) -> str:
        """The source of the file, changed. MovedError unless the pattern is in it once."""
        changed, found = re.subn(self.pattern, lambda _match: self.text, source)
        if found != 1:
            raise MovedError(f"{self.file}: {self.pattern!r} is found {found} times, not once: write the change anew")
        return changed


@dataclass(frozen=True, slots=True)
class Variant:
    """A QEMU that breaks one rule of the design, and how. A `counted` one leaves no page wrong, but a count."""

    name: str
    rule: int | str
    breaks: str
    edits: tuple[Edit, ...]
    counted: bool = False


# where the migration thread adopts other records
ADOPTED = r"if \(wanted\.records \|\| now\.mode == FAKE_DIRTY_MODE_OFF\) \{"

KEPT_WHILE_OFF = """\
if (wanted.records && now.records &&
            wanted.records->digest_size == now.records->digest_size &&
            wanted.records->audit == now.records->audit) {
            records_free(wanted.records);
            wanted.records = NULL;
        } else if (wanted.records) {"""

KEPT_BY_HASH = """\
static Records *kept[FAKE_DIRTY_HASH__MAX];
        static uint64_t migration;

        if (migration != fd.migration_start_ns ||
            old_mode == FAKE_DIRTY_MODE_OFF) {
            migration = fd.migration_start_ns;
            memset(kept, 0, sizeof(kept));
        }
        if (wanted.records && now.records &&
            now.mode != FAKE_DIRTY_MODE_OFF) {
            kept[old_hash] = now.records;
            now.records = kept[now.hash] &&
                          kept[now.hash]->audit == wanted.records->audit ?
                          kept[now.hash] : wanted.records;
            wanted.records = NULL;
            now.last = NULL;
        } else if (wanted.records || now.mode == FAKE_DIRTY_MODE_OFF) {"""

VARIANTS = (
    Variant(
        "live-page",
        1,
        "the copy is hashed, but the page in the guest's memory is sent, later",
        (
            Edit(
                RAM,
                r"return ram_save_page\(rs, pss, p\);",
                "return ram_save_page(rs, pss, pss->block->host + offset);",
            ),
        ),
    ),
    Variant(
        "overwritten-copy",
        1,
        "the copy is sent later, when the buffer has other content",
        (
            Edit(SERIES, r"#define FAKE_DIRTY_COPIES 64", "#define FAKE_DIRTY_COPIES 1"),
            Edit(SERIES, r"qemu_fflush\(f\);\n", "\n"),
        ),
    ),
    Variant(
        "zero-unrecorded",
        3,
        "a page that is sent as zero leaves the record of what was sent before",
        (
            Edit(SERIES, r'#include "qemu/osdep\.h"', '#include "qemu/osdep.h"\n#include "qemu/cutils.h"'),
            Edit(
                SERIES,
                r"\n    record\(block, page\);",
                "\n    if (!buffer_is_zero(now.page, size)) {\n        record(block, page);\n    }",
            ),
        ),
    ),
    Variant(
        "kept-while-off",
        5,
        "turning the mode on again goes on with the records from before it was turned off",
        (Edit(SERIES, ADOPTED, KEPT_WHILE_OFF),),
    ),
    Variant(
        "kept-by-hash",
        5,
        "a hash that is chosen again goes on with the records from before another was chosen",
        (Edit(SERIES, ADOPTED, KEPT_BY_HASH),),
    ),
    Variant(
        "underestimated",
        "of the switchover",
        "half of the dirty pages that have to be sent are not expected to be",
        (Edit(SERIES, r"share_limit\(unequal, taken, dirty\)", "share_limit(unequal / 2, taken, dirty)"),),
        counted=True,
    ),
)
