/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RAM blocks of which pages are queued for channels, and where each lies. A packet has the name of its block alone;
 * the migration thread, which queues the pages, has the address of QEMU's RAMBlock.
 */

static __always_inline u64 hash_of_name(u64 *words)
{
    u64 a = SEED, prime = 0x9e3779b185ebca87ULL;

#pragma unroll
    for (int i = 0; i < BLOCK_BYTES / 8; i++) {
        MIX(a, words[i]);
    }
    return a;
}

/* The block with a name; 0: no page of such a block was queued. */
static __always_inline struct block *block_of(struct process *m, u64 name)
{
    u64 most = m->multifd.known_blocks;

#pragma clang loop unroll(disable)
    for (int i = 0; i < MOST_BLOCKS; i++) {
        if (i >= most) {
            break;
        }
        if (m->multifd.blocks[i].name == name) {
            return &m->multifd.blocks[i];
        }
    }
    return 0;
}

/* QEMU's RAMBlock, whose first fields are as they were ten years ago; ram_blocks.py finds blocks by them, too */
struct ram_block {
    u64 rcu[2];
    u64 region;
    u64 host;
    u64 colo_cache;
    u64 offset;
    u64 used_length;
    u64 max_length;
};
#define RAM_BLOCK_NAME 76 /* after a callback and flags */

/* Read the RAM block at an address; 0 where there is none, or it has no page at the offset. */
static __always_inline int has_page(struct ram_block *block, u64 address, u64 offset)
{
    return !bpf_probe_read_user(block, sizeof(*block), (void *)address) && block->host &&
           block->host % PAGE_BYTES == 0 && offset % PAGE_BYTES == 0 && offset < block->used_length &&
           block->used_length <= block->max_length;
}

/* The block of the page that is queued is another one than that of the page before. */
static __always_inline void enter_block(struct process *m, u64 address, u64 host)
{
    struct multifd *multifd = &m->multifd;
    struct block *block;
    u64 name, known = multifd->known_blocks;

    multifd->block = address;
    multifd->host = host;
    __builtin_memset(multifd->name, 0, sizeof(multifd->name));
    bpf_probe_read_user_str(multifd->name, sizeof(multifd->name), (void *)(address + RAM_BLOCK_NAME));
    name = hash_of_name(multifd->name);
    block = block_of(m, name);
    if (block) {
        block->host = host;
    } else if (known < MOST_BLOCKS) {
        multifd->blocks[known].name = name;
        multifd->blocks[known].host = host;
        multifd->known_blocks = known + 1;
    }
}

/*
 * Where a page lies, by the arguments of multifd_queue_page; 0: not known. Before 8.2 the function has an argument
 * before the block and the offset.
 */
static __always_inline u64 queued_host(struct process *m, u64 first, u64 second, u64 third)
{
    struct multifd *multifd = &m->multifd;
    struct ram_block block = {}, later = {};

    if (multifd->block && multifd->block == second) {
        return multifd->host + third;
    }
    if (multifd->block && multifd->block == first) {
        return multifd->host + second;
    }
    /* if both arguments look like a block, the page that was tested for zero decides */
    if (has_page(&later, second, third) && (!has_page(&block, first, second) || m->tested == later.host + third)) {
        enter_block(m, second, later.host);
        return later.host + third;
    }
    if (has_page(&block, first, second)) {
        enter_block(m, first, block.host);
        return block.host + second;
    }
    return 0;
}
