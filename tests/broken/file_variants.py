"""Broken variants of migration into files."""

from __future__ import annotations

from multifd_variants import COPY_SENT, LIVE
from record_variants import ZERO_UNRECORDED
from variant import FILE, MULTIFD, RAM, Edit, Variant

VARIANTS = (
    Variant(
        "merged-copies",
        1,
        "copies that are adjacent in memory are written together, although their pages are not adjacent in the file",
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
        "a zero page in a file keeps the record of its previous content",
        ZERO_UNRECORDED,
        part="8-files",
        plans="file without multifd",
    ),
    Variant(
        "file-bit-kept",
        3,
        "a page that has become zero is still read from its place in the file",
        (
            Edit(RAM, r"clear_bit_atomic\(offset >> TARGET_PAGE_BITS, pss->block->file_bmap\);", ";", own=True),
            Edit(MULTIFD, r"ramblock_set_file_bmap_atomic\(pages->block, pages->offset\[i\], false\);", ";", own=True),
        ),
        part="8-files",
        plans="file",
    ),
    Variant(
        "file-live",
        1,
        "QEMU hashes the copy, but writes the page from guest memory into the file",
        (
            Edit(MULTIFD, COPY_SENT, f"iov_base = migrate_mapped_ram() ? {LIVE} : pages->data[i];"),
            Edit(RAM, r"qemu_put_buffer_at\(file, buf, ", "qemu_put_buffer_at(file, block->host + offset, ", own=True),
        ),
        part="8-files",
        plans="file with direct-io",
    ),
)
