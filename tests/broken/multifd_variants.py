"""Broken variants of multifd: copies, records and flushes of channels."""

from __future__ import annotations

from variant import CHANNEL, MULTIFD, RAM, VISIT, ZERO_PAGES, ZLIB, ZSTD, Edit, Variant

# the pointer to what a channel sends of a page, and the page in guest memory
COPY_SENT = r"iov_base = pages->data\[i\];"
LIVE = "(pages->block->host + pages->offset[i])"

VARIANTS = (
    Variant(
        "shared-copies",
        1,
        "a channel copies pages into the buffer of another channel, which has not sent its copies yet",
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
        "after a channel has sent a page, it records the present content of guest memory, not the sent content",
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
        "a page that a channel sends as zero keeps the record of its previous content",
        (Edit(CHANNEL, r"fake_dirty_record_zero\(run, block, page, digest, copy, unnoted\);", ";"),),
        part="7-multifd",
        plans="zero pages by channels",
    ),
    Variant(
        "legacy-zero-unrecorded",
        3,
        "a page that the migration thread finds to be zero keeps the record of its previous content",
        (Edit(CHANNEL, r"fake_dirty_record\(run, block, page, run->digest, run->zero_page\);", ";"),),
        part="7-multifd",
        plans="zero pages by the migration thread",
    ),
    Variant(
        "unsorted-copies",
        1,
        "zero page detection reorders pages, but not their copies",
        (
            Edit(
                ZERO_PAGES,
                r"pages->data\[a\] = pages->data\[b\];\n +pages->data\[b\] = data;",
                # below 1 MiB the order stays right: a destination without its ROMs ends while it loads
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
        "a round begins while channels still have pages of the previous round",
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
        "sent-live",
        1,
        "QEMU hashes the copy, but a channel without compression sends the page from guest memory",
        (Edit(MULTIFD, COPY_SENT, f"iov_base = migrate_mapped_ram() ? pages->data[i] : {LIVE};"),),
        part="7-multifd",
        plans="no compression",
    ),
    Variant(
        "zlib-live",
        1,
        "QEMU hashes the copy, but zlib compresses the page in guest memory",
        (Edit(ZLIB, r"memcpy\(z->buf, pages->data\[i\], page_size\);", f"memcpy(z->buf, {LIVE}, page_size);"),),
        part="7-multifd",
        plans="zlib",
    ),
    Variant(
        "zstd-live",
        1,
        "QEMU hashes the copy, but zstd compresses the page in guest memory",
        (Edit(ZSTD, r"z->in\.src = pages->data\[i\];", f"z->in.src = {LIVE};"),),
        part="7-multifd",
        plans="zstd",
    ),
    Variant(
        "zero-checked-live",
        1,
        "a channel sends a page as zero if the page in guest memory is zero, whatever it has copied and hashed",
        (Edit(ZERO_PAGES, r"buffer_is_zero\(pages->data\[i\], ", "buffer_is_zero(rb->host + offset, "),),
        part="7-multifd",
        plans="zero pages by channels",
        excluded="the guest has microseconds for it, and must undo it before the next visit: never in 40 plans",
    ),
    Variant(
        "unflushed-anew",
        4,
        "when the list of RAM blocks has changed, QEMU visits pages again that channels have not sent yet",
        (
            Edit(
                RAM,
                r"if \(multifd_ram_sync_per_round\(\)\) \{(?=\n +ret = multifd_ram_flush.*;\n +\}\n +ram_state_reset)",
                "if (false) {",
            ),
        ),
        part="7-multifd",
        plans="several channels and another block",
        excluded="a page has to be dirty again before the search reaches the end of the list: never in 12 plans",
    ),
    Variant(
        "torn-known",
        3,
        "of two channels that record neighbouring pages, one may undo the note of the other",
        (Edit(VISIT, r"set_bit_atomic\(page, block->known\);", "set_bit(page, block->known);"),),
        part="7-multifd",
        plans="several channels",
        excluded="a record is lost, so its page is sent once more than necessary, and memory is equal",
    ),
)
