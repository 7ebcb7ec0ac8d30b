"""The broken variants: for each rule of safe skipping, the least change to the series that takes it out.

A change names a place by a pattern that must be found exactly once in the patched source, so that it fails
loudly when the series has moved on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

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
    """The series no longer has what a change is made to."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`pattern`, a regular expression, is replaced by `text` in `file`; it is QEMU's `own` where no patch shows it."""

    file: str
    pattern: str
    text: str
    own: bool = False

    def applied(self, source: str) -> str:
        """The source of the file, changed. MovedError unless the pattern is in it once."""
        changed, found = re.subn(self.pattern, lambda _match: self.text, source)
        if found != 1:
            raise MovedError(f"{self.file}: {self.pattern!r} is found {found} times, not once: write the change anew")
        return changed


@dataclass(frozen=True, slots=True)
class Variant:
    """A QEMU that breaks one rule of the design, and how. A `counted` one leaves no page wrong, but a count.
    A `stuck` one may also leave a migration without an end, which the fuzz calls wrong.

    `test` is the integration test that finds it, where no plan of the fuzz comes to it. `part` is the sub-series that
    it is made to, which a release may lack, and `release` the only one that has what it changes, if it is but one.
    `plans` says what the plans have that can come to it, see `plans.PLANS`. One that is `unseen` shows too rarely, or
    where neither the fuzz nor a test looks, and why: it is not run unless it is asked for.
    """

    name: str
    rule: int | str
    breaks: str
    edits: tuple[Edit, ...]
    counted: bool = False
    stuck: bool = False
    test: str = ""
    part: str = ""
    plans: str = ""
    release: str = ""
    unseen: str = ""


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

# what a channel is to send of a page, and the page itself
COPY_SENT = r"iov_base = pages->data\[i\];"
LIVE = "(pages->block->host + pages->offset[i])"

ZERO_UNRECORDED = (
    Edit(VISIT, r'#include "qemu/osdep\.h"', '#include "qemu/osdep.h"\n#include "qemu/cutils.h"'),
    Edit(
        VISIT,
        r"\n(?=    (?:fake_dirty_)?record\(run, block, page\b)",
        "\n    if (!buffer_is_zero(run->page, qemu_target_page_size()))\n    ",
    ),
)

FORGOTTEN_WITH_THE_LIST = """\
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
        ZERO_UNRECORDED,
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
        "dropped-on-change",
        10,
        "what was sent is forgotten of all blocks of RAM when one of them comes or goes",
        (
            Edit(RAM, r'#include "fake-dirty\.h"', '#include "fake-dirty.h"\n#include "fake-dirty-records.h"'),
            Edit(RAM, r"ram_state_reset\(rs\);(?=\n    \}\n    return ret;)", FORGOTTEN_WITH_THE_LIST),
        ),
        test=TESTS + "test_series_backends.py",
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
        "a bandwidth that the link once had is believed for good, whatever the link has become",
        (
            Edit(
                ESTIMATE,
                r"return !link->evidence_ns \|\|\n +now_ns <= link->evidence_ns \+ FAKE_DIRTY_LINK_KNOWN_NS;",
                "return true;",
            ),
            Edit(ESTIMATE, r"link->probe = link->probe \?: 1;", "link->probe = 0;"),
            Edit(
                ESTIMATE,
                r"link->rate = least;(?=\n +link->evidence_ns)",
                "link->rate = MAX(link->rate, least);",
            ),
            Edit(
                ESTIMATE,
                r"link->rate = link->rate > most \? least : MAX\(link->rate, least\);",
                "link->rate = MAX(link->rate, least);",
            ),
            Edit(
                ESTIMATE,
                r"link->rate = MIN\(link->rate, \(w->bytes \+ w->after\) / sending_ms\(w\)\);",
                ";",
            ),
        ),
        test=TESTS + "test_series_link.py",
    ),
    Variant(
        "shared-copies",
        1,
        "channels copy pages to where another one has copies that it has not written yet",
        (
            Edit(
                CHANNEL,
                r"    channel->copies = (qemu_memalign\(qemu_real_host_page_size\(\),\n.*\));",
                """\
    {
        static uint8_t *copies;

        copies = copies ?: qemu_memalign(qemu_real_host_page_size(),
                                         pages * qemu_target_page_size());
        channel->copies = copies;
    }""",
            ),
            Edit(CHANNEL, r"        qemu_vfree\(channel->copies\);\n", ""),
        ),
        part="7-multifd",
        plans="several channels",
    ),
    Variant(
        "recorded-live",
        3,
        "a channel that has written a page records what the guest has then, and not what it sent",
        (
            Edit(
                CHANNEL,
                r"const uint8_t \*(?=digest = channel->digests \+ slot \* FAKE_DIRTY_DIGEST_MAX;\n +const .* \*copy)",
                "uint8_t *",
            ),
            Edit(
                CHANNEL,
                r"(?=if \(was_sent_as_zero\(channel, slot\)\) \{)",
                "run->hash->func(channel->rb->host + page * size, size, run->seed,\n"
                "                        digest);\n        ",
            ),
        ),
        part="7-multifd",
        plans="multifd",
    ),
    Variant(
        "channel-zero-unrecorded",
        3,
        "a page that a channel sends as zero leaves the record of what was sent before",
        (Edit(CHANNEL, r"fake_dirty_record_zero\(run, block, page, digest, copy, unnoted\);", ";"),),
        part="7-multifd",
        plans="zero pages by channels",
    ),
    Variant(
        "legacy-zero-unrecorded",
        3,
        "so does one that the migration thread finds to be zero before it is queued",
        (Edit(CHANNEL, r"fake_dirty_record\(run, block, page, run->digest, run->zero_page\);", ";"),),
        part="7-multifd",
        plans="zero pages by the migration thread",
    ),
    Variant(
        "unsorted-copies",
        1,
        "zero page detection puts pages in another order, and leaves their copies where they are",
        (
            Edit(
                ZERO_PAGES,
                r"pages->data\[a\] = pages->data\[b\];\n +pages->data\[b\] = data;",
                # as they ought to be below 1 MiB: without its ROMs a destination ends while it loads, and has no memory
                "pages->data[a] = offset < (1 << 20) ? pages->data[b] : data;\n"
                "    pages->data[b] = offset < (1 << 20) ? data : pages->data[b];",
            ),
        ),
        part="7-multifd",
        plans="zero pages by channels",
    ),
    Variant(
        "unflushed-rounds",
        4,
        "the search for dirty pages starts over while channels have pages of the round before",
        (
            Edit(
                RAM,
                r"if \(multifd_ram_sync_per_round\(\)\) \{(?=\n +QEMUFile \*f = rs->pss\[RAM_CHANNEL_PRECOPY\])",
                "if (false) {",
                own=True,
            ),
        ),
        part="7-multifd",
        plans="several channels",
    ),
    Variant(
        "merged-copies",
        1,
        "copies that follow one another in memory are written as one, wherever their pages are in the file",
        (
            Edit(
                FILE,
                r"pages->offset\[i\] \+ iov\[i\]\.iov_len == pages->offset\[i \+ 1\]",
                "(char *)iov[i].iov_base + iov[i].iov_len == iov[i + 1].iov_base",
            ),
        ),
        part="8-files",
        plans="file with multifd",
    ),
    Variant(
        "file-zero-unrecorded",
        3,
        "a zero page of a file leaves the record of what its place holds",
        ZERO_UNRECORDED,
        part="8-files",
        plans="file without multifd",
    ),
    Variant(
        "file-bit-kept",
        3,
        "a page that becomes a zero page is still read from its place in the file",
        (
            Edit(RAM, r"clear_bit_atomic\(offset >> TARGET_PAGE_BITS, pss->block->file_bmap\);", ";", own=True),
            Edit(MULTIFD, r"ramblock_set_file_bmap_atomic\(pages->block, pages->offset\[i\], false\);", ";", own=True),
        ),
        part="8-files",
        plans="file",
    ),
    Variant(
        "hashed-in-postcopy",
        6,
        "pages are hashed, recorded and skipped after the destination was told what to discard",
        (
            Edit(
                RAM,
                r"fake_dirty_postcopy\(rs->fake_dirty\);\n(?= +round_tracker_end_postcopy\(&rs->rounds,\n)",
                "\n",
            ),
            Edit(
                RAM,
                r"fake_dirty_postcopy\(rs->fake_dirty\);\n(?= +round_tracker_end_postcopy\(&rs->rounds, rs)",
                "\n",
            ),
        ),
        part="9-hybrid",
        plans="postcopy",
    ),
    Variant(
        "swept-unequal",
        6,
        "a sweep marks pages clean that differ from what was sent",
        (Edit(VISIT, r"if \(class == FAKE_DIRTY_FAKE\) \{(?=\n +return true;)", "if (class != FAKE_DIRTY_FIRST) {"),),
        part="9-hybrid",
        plans="postcopy",
    ),
    Variant(
        "sent-live",
        1,
        "the copy is hashed, but a channel that does not compress sends the page in the guest's memory",
        (Edit(MULTIFD, COPY_SENT, f"iov_base = migrate_mapped_ram() ? pages->data[i] : {LIVE};"),),
        part="7-multifd",
        plans="no compression",
    ),
    Variant(
        "zlib-live",
        1,
        "the copy is hashed, but zlib compresses the page in the guest's memory",
        (Edit(ZLIB, r"memcpy\(z->buf, pages->data\[i\], page_size\);", f"memcpy(z->buf, {LIVE}, page_size);"),),
        part="7-multifd",
        plans="zlib",
    ),
    Variant(
        "zstd-live",
        1,
        "the copy is hashed, but zstd compresses the page in the guest's memory",
        (Edit(ZSTD, r"z->in\.src = pages->data\[i\];", f"z->in.src = {LIVE};"),),
        part="7-multifd",
        plans="zstd",
    ),
    Variant(
        "zero-checked-live",
        1,
        "a channel sends a page as zero if the one in the guest's memory is, whatever was copied and hashed",
        (Edit(ZERO_PAGES, r"buffer_is_zero\(pages->data\[i\], ", "buffer_is_zero(rb->host + offset, "),),
        part="7-multifd",
        plans="zero pages by channels",
        unseen="the guest has microseconds to make it zero, and must undo it before the next visit: never in 40 plans",
    ),
    Variant(
        "unflushed-anew",
        4,
        "where the list of RAM blocks has changed, pages are visited again that channels have not sent yet",
        (
            Edit(
                RAM,
                r"if \(multifd_ram_sync_per_round\(\)\) \{(?=\n +ret = multifd_ram_flush.*;\n +\}\n +ram_state_reset)",
                "if (false) {",
            ),
        ),
        part="7-multifd",
        plans="several channels and another block",
        unseen="a page has to be dirty again before the search comes to the end of the list: never in 12 plans",
    ),
    Variant(
        "torn-known",
        3,
        "of two channels that record pages next to one another, one may undo what the other notes",
        (Edit(VISIT, r"set_bit_atomic\(page, block->known\);", "set_bit(page, block->known);"),),
        part="7-multifd",
        plans="several channels",
        unseen="a record is lost, its page is sent once more than it had to be, and memory is equal",
    ),
    Variant(
        "file-live",
        1,
        "the copy is hashed, but the page in the guest's memory is written into the file",
        (
            Edit(MULTIFD, COPY_SENT, f"iov_base = migrate_mapped_ram() ? {LIVE} : pages->data[i];"),
            Edit(RAM, r"qemu_put_buffer_at\(file, buf, ", "qemu_put_buffer_at(file, block->host + offset, ", own=True),
        ),
        part="8-files",
        plans="file with direct-io",
    ),
    Variant(
        "unflushed-before-postcopy",
        4,
        "channels have pages still when postcopy begins",
        (
            Edit(
                RAM,
                r"ret = multifd_ram_flush_and_sync\(f\);(?=\n.*\n +error_setg\(errp, .*multifd flush and sync)",
                "ret = 0;",
                own=True,
            ),
        ),
        part="9-hybrid",
        plans="postcopy with multifd",
        release="10.2",
        stuck=True,  # seen: the source stays in postcopy-device, and the destination's monitor does not answer
    ),
)


def of_release(release: str, parts: Path) -> list[Variant]:
    """The variants of a release of QEMU, whose sub-series are directories of `parts`."""
    return [
        variant
        for variant in VARIANTS
        if variant.release in ("", release) and (not variant.part or (parts / variant.part).is_dir())
    ]
