/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that writes exactly the page frames that its command line names, and reports them.
 *
 * Command line (multiboot, QEMU's -append): a word `KIND=FIRST+COUNT` or `KIND=FIRST+COUNT*STRIDE` for each range of
 * page frames, `pause=MS` between sweeps, `parts=N` into which a sweep and its pause are divided, `text=WORDS` of every
 * 16, and `report=MS` between reports. It reports on COM1, by the protocol of guests/README.md. After `ready` it writes
 * the sets and its own frames (reported as `own`), and no other page.
 */
#include "../pages.h"
#include "machine.h"

#define RANGES 64
#define CLOCK_PAGES 1024 /* pages between two readings of the clock, so that no wrap is missed */
#define HAS_MEMORY 1

struct range {
    enum kind kind;
    uint32_t first, count, stride;
};

struct multiboot {
    uint32_t flags, mem_lower, mem_upper /* KiB above 1 MiB */, boot_device;
    const char *cmdline;
};

extern char own_start[], own_end[];

static union {
    struct status status;
    uint32_t words[PAGE_WORDS];
} status_page __attribute__((aligned(PAGE_BYTES)));

static struct range ranges[RANGES];
static uint32_t range_count, pause_ms, parts = 1, text_words, report_ms = REPORT_MS;

static void print(const char *text)
{
    for (; *text; text++) {
        while (!(in8(COM1_STATUS) & COM1_EMPTY))
            ;
        out8(COM1, *text);
    }
}

static void print_number(uint32_t number)
{
    char digits[11], *digit = digits + 10;

    *digit = 0;
    do {
        *--digit = '0' + number % 10;
        number /= 10;
    } while (number);
    print(digit);
}

static void print_frames(const struct range *range)
{
    print(" ");
    print_number(range->first);
    print("+");
    print_number(range->count);
    if (range->stride != 1) {
        print("*");
        print_number(range->stride);
    }
    print("\n");
}

static void __attribute__((noreturn)) fail(const char *why, const char *word)
{
    print("guest: error ");
    print(why);
    print(" ");
    print(word);
    print("\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* Whether `text` begins with `prefix`. If it does, `text` is moved behind it. */
static int skip_prefix(const char **text, const char *prefix)
{
    const char *at = *text;

    while (*prefix)
        if (*at++ != *prefix++)
            return 0;
    *text = at;
    return 1;
}

static uint32_t parse_number(const char **text)
{
    uint32_t number = 0;

    if (**text < '0' || **text > '9')
        fail("no number at", *text);
    while (**text >= '0' && **text <= '9')
        number = number * 10 + *(*text)++ - '0';
    return number;
}

static int parse_kind(const char **text, enum kind *kind)
{
    const char *at;

    for (*kind = 0; *kind < KINDS; (*kind)++)
        if (at = *text, skip_prefix(&at, kind_names[*kind]) && skip_prefix(&at, "=")) {
            *text = at;
            return 1;
        }
    return 0;
}

static void parse_range(const char **text, enum kind kind, uint32_t frames)
{
    const char *word = *text;
    struct range range = {kind, parse_number(text), 0, 1};

    if (!skip_prefix(text, "+"))
        fail("no count in", word);
    range.count = parse_number(text);
    if (skip_prefix(text, "*"))
        range.stride = parse_number(text);
    if (range_count == RANGES)
        fail("too many ranges at", word);
    if (!range.count || !range.stride || range.first < (uint32_t)own_end / PAGE_BYTES || range.first >= frames ||
        range.count - 1 > (frames - 1 - range.first) / range.stride)
        fail("not within free memory:", word);
    ranges[range_count++] = range;
}

static void parse(const char *text, uint32_t frames)
{
    enum kind kind;

    while (*text && *text != ' ')
        text++; /* the loader's name for the kernel */
    for (; *text; text++) {
        if (*text == ' ')
            continue;
        if (parse_kind(&text, &kind))
            parse_range(&text, kind, frames);
        else if (skip_prefix(&text, "pause="))
            pause_ms = parse_number(&text);
        else if (skip_prefix(&text, "report="))
            report_ms = parse_number(&text);
        else if (skip_prefix(&text, "parts="))
            parts = parse_number(&text);
        else if (skip_prefix(&text, "text="))
            text_words = parse_number(&text);
        else
            fail("unknown word", text);
        if (*text && *text != ' ')
            fail("trailing characters:", text);
        if (!parts || text_words >= TEXT_WORDS)
            fail("parts= or text= is out of range before", text);
        if (!*text)
            return;
    }
}

static volatile uint32_t *page_of(uint32_t frame)
{
    return (volatile uint32_t *)(frame * PAGE_BYTES);
}

static void fill(void)
{
    for (struct range *range = ranges; range < ranges + range_count; range++)
        for (uint32_t i = 0, frame = range->first; i < range->count; i++, frame += range->stride) {
            volatile uint32_t *page = page_of(frame);
            uint32_t rest = filling(range->kind, frame, TEXT_WORDS - 1, text_words), count = PAGE_WORDS;
            void *to = (void *)page;

            __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(rest) : "memory");
            for (uint32_t word = 0; text_words && word < PAGE_WORDS; word++)
                page[word] = filling(range->kind, frame, word, text_words);
            page[cell(frame)] = content(range->kind, frame, 0);
        }
}

/* Write one part of every range, so that all ranges are written at an even rate. */
static void write_part(uint32_t sweep, uint32_t part)
{
    uint32_t pages = 0;

    for (struct range *range = ranges; range < ranges + range_count; range++) {
        uint32_t i = part_of(range->count, part, parts), end = part_of(range->count, part + 1, parts);

        if (range->kind == UNTOUCHED)
            continue;
        for (uint32_t frame = range->first + i * range->stride; i < end; i++, frame += range->stride) {
            page_of(frame)[cell(frame)] = content(range->kind, frame, sweep);
            if (++pages % CLOCK_PAGES == 0)
                now_ms();
        }
    }
}

static void report_sweeps(uint32_t done, uint32_t ms, uint32_t longest)
{
    print("guest: sweeps ");
    print_number(done);
    print(" ");
    print_number(ms);
    print(" ");
    print_number(longest);
    print("\n");
}

void main(const struct multiboot *boot)
{
    volatile struct status *status = &status_page.status;
    struct range own = {0, (uint32_t)own_start / PAGE_BYTES, (uint32_t)(own_end - own_start) / PAGE_BYTES, 1};
    uint32_t reported = 0, longest = 0, start = 0, now = 0;

    if (!(boot->flags & HAS_MEMORY))
        fail("the loader reports no", "memory size");
    parse(boot->cmdline, 256 + boot->mem_upper / (PAGE_BYTES / 1024));
    fill();
    status->magic = STATUS_MAGIC;

    if (text_words) {
        print("guest: text ");
        print_number(text_words);
        print("\n");
    }
    for (struct range *range = ranges; range < ranges + range_count; range++) {
        print("guest: set ");
        print(kind_names[range->kind]);
        print_frames(range);
    }
    print("guest: own");
    print_frames(&own);
    print("guest: status ");
    print_number((uint32_t)&status_page / PAGE_BYTES);
    print("\nguest: ready\n");

    start_timer();
    for (uint32_t sweep = 1;; sweep++) {
        status->sweep = sweep;
        for (uint32_t part = 0; part < parts; part++) {
            write_part(sweep, part);
            if (part == parts - 1)
                status->done = sweep;
            for (uint32_t end = now_ms(); (now = now_ms()) - end < pause_ms / parts;)
                idle();
        }
        if (now - start > longest)
            longest = now - start;
        start = now;
        if (now - reported >= report_ms) {
            report_sweeps(sweep, now, longest);
            reported = now;
            longest = 0;
        }
    }
}
