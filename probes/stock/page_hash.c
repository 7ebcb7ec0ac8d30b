/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash of a page's content, which stands for the content from then on.
 *
 * It has six independent lanes, so that their multiplications overlap. With more lanes the prime would have no register
 * left, and be loaded for each word.
 */

/* what stands for a page that was sent without a hash; no hash has one of these values */
#define NOT_SENT 0
#define SENT_ZERO 1

#define MIX(lane, word) lane = ((lane) ^ (word)) * prime, lane ^= (lane) >> 32
#define MIX_SIX(words)                                                     \
    MIX(a, (words)[0]), MIX(b, (words)[1]), MIX(c, (words)[2]),            \
        MIX(d, (words)[3]), MIX(e, (words)[4]), MIX(f, (words)[5])
#define WORDS (PAGE_BYTES / 8)

static __always_inline u64 hash(struct page *page)
{
    u64 a = SEED, b = ~(u64)SEED, c = (u64)SEED << 1, d = ~(u64)SEED << 1, e = (u64)SEED << 2, f = ~(u64)SEED << 2;
    u64 prime = 0x9e3779b185ebca87ULL;
    int i;

    asm volatile("" : "+r"(prime));
#pragma clang loop unroll(disable)
    for (i = 0; i < WORDS / 24 * 24; i += 24) {
        MIX_SIX(page->words + i);
        MIX_SIX(page->words + i + 6);
        MIX_SIX(page->words + i + 12);
        MIX_SIX(page->words + i + 18);
    }
#pragma unroll
    for (i = WORDS / 24 * 24; i < WORDS / 6 * 6; i += 6) {
        MIX_SIX(page->words + i);
    }
#pragma unroll
    for (i = WORDS / 6 * 6; i < WORDS; i++) {
        MIX(a, page->words[i]);
    }
    MIX(a, b);
    MIX(a, c);
    MIX(a, d);
    MIX(a, e);
    MIX(a, f);
    return a > SENT_ZERO ? a : a + 2;
}

/* The same pages always, spread over all memory. */
static __always_inline int sampled(u64 host)
{
    return SAMPLE == 1 || ((host / PAGE_BYTES ^ SEED) * 0x9e3779b97f4a7c15ULL >> 32) % SAMPLE == 0;
}
