"""The broken variants: for each rule of safe skipping, the least change to the series that takes it out.

A change names a place by a pattern that must be found exactly once in the patched source, so that it fails
loudly when the series has moved on.
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

TESTS = "tests/integration/"


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
    """A QEMU that breaks one rule of the design, and how. A `counted` one leaves no page wrong, but a count.

    `test` is the integration test that finds it, where no plan of the fuzz comes to it.
    """

    name: str
    rule: int | str
    breaks: str
    edits: tuple[Edit, ...]
    counted: bool = False
    test: str = ""


# where the migration thread adopts other records
ADOPTED = r"if \(shared->wanted \|\| run->mode == FAKE_DIRTY_MODE_OFF\) \{"

KEPT_WHILE_OFF = """\
if (shared->wanted && shared->records &&
            shared->wanted->digest_size == shared->records->digest_size &&
            shared->wanted->audit == shared->records->audit) {
            run->retired = shared->wanted;
            shared->wanted = NULL;
        } else if (shared->wanted) {"""

KEPT_BY_HASH = """\
static FakeDirtyRecords *kept[FAKE_DIRTY_HASH__MAX];
        static uint64_t migration;

        if (migration != run->rounds->migration_start_ns ||
            before == FAKE_DIRTY_MODE_OFF) {
            migration = run->rounds->migration_start_ns;
            memset(kept, 0, sizeof(kept));
        }
        if (shared->wanted && shared->records &&
            run->mode != FAKE_DIRTY_MODE_OFF) {
            FakeDirtyRecords *back;

            kept[hash_before] = shared->records;
            back = kept[shared->hash];
            if (back && back->audit == shared->wanted->audit) {
                run->retired = shared->wanted;
                shared->records = back;
                back->used = 0;
            } else {
                shared->records = shared->wanted;
            }
            shared->wanted = NULL;
            renewed = true;
        } else if (shared->wanted || run->mode == FAKE_DIRTY_MODE_OFF) {"""

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
        (Edit(SHARED, r"#define FAKE_DIRTY_COPIES QEMU_FILE_MAX_QUEUED", "#define FAKE_DIRTY_COPIES 1"),),
    ),
    Variant(
        "zero-unrecorded",
        3,
        "a page that is sent as zero leaves the record of what was sent before",
        (
            Edit(VISIT, r'#include "qemu/osdep\.h"', '#include "qemu/osdep.h"\n#include "qemu/cutils.h"'),
            Edit(
                VISIT,
                r"\n(?=    (?:fake_dirty_)?record\(run, block, page\b)",
                "\n    if (!buffer_is_zero(run->page, size))\n    ",
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
        "not-cleaned-up",
        9,
        "migrate and snapshots start while the thread of a migration that has failed still runs",
        (Edit(MIGRATION, r"if \(migrate_get_current\(\)->cleanup_pending\) \{", "if (false) {"),),
        test=TESTS + "test_series_cleanup.py",
    ),
    Variant(
        "late-toggle",
        10,
        "a change of mode or hash is adopted when the switchover was decided already",
        (Edit(SERIES, r"frozen = shared->frozen;", "frozen = false;"),),
        counted=True,
    ),
    Variant(
        "underestimated",
        "of the switchover",
        "half of the dirty pages that have to be sent are not expected to be",
        (Edit(LOOK, r"fake_dirty_limit\(block->sample\.send,", "fake_dirty_limit(block->sample.send / 2,"),),
        counted=True,
    ),
    Variant(
        "never-decays",
        "of the switchover",
        "a bandwidth is believed for as long as little is sent, whatever the link has become",
        (
            Edit(
                ESTIMATE,
                r"return !link->evidence_ns \|\|\n +now_ns <= link->evidence_ns \+ FAKE_DIRTY_LINK_KNOWN_NS;",
                "return true;",
            ),
            Edit(ESTIMATE, r"link->probe = link->probe \?: 1;", "link->probe = 0;"),
        ),
        test=TESTS + "test_series_link.py",
    ),
)
