"""Broken variants of the copies, and of the records of sent content."""

from __future__ import annotations

from variant import MIGRATION, RAM, SERIES, SHARED, TESTS, VISIT, Edit, Variant

# the place at which the migration thread adopts other records
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

ZERO_UNRECORDED = (
    Edit(VISIT, r'#include "qemu/osdep\.h"', '#include "qemu/osdep.h"\n#include "qemu/cutils.h"'),
    Edit(
        VISIT,
        r"\n(?=    (?:fake_dirty_)?record\(run, block, page\b)",
        "\n    if (!buffer_is_zero(run->page, qemu_target_page_size()))\n    ",
    ),
)

DROPPED_WITH_THE_LIST = """\
ram_state_reset(rs);

        RAMBlock *rb;

        RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
            if (rb->fake_dirty) {
                bitmap_zero(rb->fake_dirty->known, rb->fake_dirty->pages);
            }
        }"""

VARIANTS = (
    Variant(
        "live-page",
        1,
        "QEMU hashes the copy, and later sends the page from guest memory",
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
        "QEMU sends the copy after its buffer was overwritten",
        (Edit(SHARED, r"#define FAKE_DIRTY_COPIES QEMU_FILE_MAX_QUEUED", "#define FAKE_DIRTY_COPIES 1"),),
    ),
    Variant(
        "zero-unrecorded",
        3,
        "a page that is sent as zero keeps the record of its previous content",
        ZERO_UNRECORDED,
    ),
    Variant(
        "kept-while-off",
        5,
        "when the mode is turned on again, QEMU uses the records from before it was turned off",
        (Edit(SERIES, ADOPTED, KEPT_WHILE_OFF),),
    ),
    Variant(
        "kept-by-hash",
        5,
        "when a hash is chosen again, QEMU uses the records from before another hash was chosen",
        (Edit(SERIES, ADOPTED, KEPT_BY_HASH),),
    ),
    Variant(
        "not-cleaned-up",
        9,
        "migrations and snapshots start while the thread of a failed migration still runs",
        (Edit(MIGRATION, r"if \(migrate_get_current\(\)->cleanup_pending\) \{", "if (false) {"),),
        test=TESTS + "test_series_cleanup.py",
    ),
    Variant(
        "dropped-on-change",
        10,
        "QEMU drops the records of all RAM blocks when a block is added or removed",
        (
            Edit(RAM, r'#include "fake-dirty\.h"', '#include "fake-dirty.h"\n#include "fake-dirty-records.h"'),
            Edit(RAM, r"ram_state_reset\(rs\);(?=\n    \}\n    return ret;)", DROPPED_WITH_THE_LIST),
        ),
        test=TESTS + "test_series_backends.py",
    ),
)
