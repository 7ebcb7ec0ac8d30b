/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The working set of a Linux guest. It locks memory, fills it with page sets, finds out their page frames, and rewrites
 * them sweep after sweep. It reports the frames on standard output, by the protocol of README.md. How it reports the
 * sweeps depends on the object that it is linked with (sweep_report.h).
 *
 * Arguments: `KIND=COUNT` for each page set, `pause=MS` between sweeps, `parts=N` into which a sweep and its pause are
 * divided, `text=WORDS` of every 16, and `report=MS` between reports.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "pages.h"
#include "sweep_report.h"

#define RANGES_PER_LINE 16
#define PRESENT (UINT64_C(1) << 63)
#define FRAME_BITS ((UINT64_C(1) << 55) - 1)

struct page {
    uint32_t frame;
    volatile uint32_t *words;
};

struct set {
    struct page *pages;
    unsigned long count;
};

struct options {
    unsigned long pause_ms, parts, text, report_ms;
};

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    printf("guest: error ");
    vprintf(format, arguments);
    printf("\n");
    exit(1);
}

static unsigned long number(const char *text)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end)
        fail("not a number: %s", text);
    return value;
}

static void parse(char **words, struct set *sets, struct options *options)
{
    for (; *words; words++) {
        char *value = strchr(*words, '=');
        int kind = 0;

        if (!value)
            fail("unknown word %s", *words);
        *value++ = 0;
        while (kind < KINDS && strcmp(*words, kind_names[kind]))
            kind++;
        if (kind < KINDS)
            sets[kind].count = number(value);
        else if (!strcmp(*words, "pause"))
            options->pause_ms = number(value);
        else if (!strcmp(*words, "report"))
            options->report_ms = number(value);
        else if (!strcmp(*words, "parts"))
            options->parts = number(value);
        else if (!strcmp(*words, "text"))
            options->text = number(value);
        else
            fail("unknown word %s=", *words);
    }
    if (!options->parts || options->text >= TEXT_WORDS)
        fail("parts=%lu or text=%lu is out of range", options->parts, options->text);
}

static int by_frame(const void *left, const void *right)
{
    uint32_t a = ((const struct page *)left)->frame, b = ((const struct page *)right)->frame;

    return (a > b) - (a < b);
}

/* Allocate `count` resident pages that keep their frames, in the order of the frames. */
static struct page *allocate(unsigned long count)
{
    int pagemap = open("/proc/self/pagemap", O_RDONLY);
    struct page *pages = calloc(count, sizeof(*pages));
    uint64_t *entries = malloc(count * sizeof(*entries));
    char *memory;

    if (pagemap < 0)
        fail("/proc/self/pagemap: %s", strerror(errno));
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) || mlockall(MCL_CURRENT | MCL_FUTURE))
        fail("memory cannot be locked: %s", strerror(errno));
    memory = mmap(NULL, count * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED || !pages || !entries)
        fail("no memory for %lu pages: %s", count, strerror(errno));
    for (size_t have = 0, want = count * sizeof(*entries); have < want;) {
        off_t at = (uintptr_t)memory / PAGE_BYTES * sizeof(*entries) + have;
        ssize_t got = pread(pagemap, (char *)entries + have, want - have, at);

        if (got <= 0)
            fail("/proc/self/pagemap: %s", got ? strerror(errno) : "ends early");
        have += got;
    }
    for (unsigned long i = 0; i < count; i++) {
        if (!(entries[i] & PRESENT) || !(entries[i] & FRAME_BITS))
            fail("the frame of page %lu is hidden (root is needed)", i);
        pages[i] = (struct page){entries[i] & FRAME_BITS, (volatile uint32_t *)(memory + i * PAGE_BYTES)};
    }
    free(entries);
    close(pagemap);
    qsort(pages, count, sizeof(*pages), by_frame);
    return pages;
}

static void fill(const struct set *set, enum kind kind, uint32_t text)
{
    for (const struct page *page = set->pages; page < set->pages + set->count; page++) {
        for (int word = 0; word < PAGE_WORDS; word++)
            page->words[word] = filling(kind, page->frame, word, text);
        page->words[cell(page->frame)] = content(kind, page->frame, 0);
    }
}

static void report_set(const struct set *set, enum kind kind)
{
    unsigned long i = 0, ranges = 0;

    while (i < set->count) {
        unsigned long first = i;

        while (++i < set->count && set->pages[i].frame == set->pages[i - 1].frame + 1)
            ;
        if (ranges % RANGES_PER_LINE == 0)
            printf("%sguest: set %s", ranges ? "\n" : "", kind_names[kind]);
        printf(" %" PRIu32 "+%lu", set->pages[first].frame, i - first);
        ranges++;
    }
    if (ranges)
        printf("\n");
}

/* Write one part of every set, so that all sets are written at an even rate. */
static void write_part(const struct set *sets, uint32_t sweep, uint32_t part, uint32_t parts)
{
    for (enum kind kind = FAKE; kind < UNTOUCHED; kind++) {
        const struct page *end = sets[kind].pages + part_of(sets[kind].count, part + 1, parts);

        for (const struct page *page = sets[kind].pages + part_of(sets[kind].count, part, parts); page < end; page++)
            page->words[cell(page->frame)] = content(kind, page->frame, sweep);
    }
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    struct set sets[KINDS] = {0};
    struct options options = {.parts = 1, .report_ms = REPORT_MS};
    struct timespec pause;
    unsigned long count = 1;
    uint64_t start, reported;
    struct page *pages;
    volatile struct status *status;

    (void)argc;
    setvbuf(stdout, NULL, _IOLBF, 4096);
    parse(argv + 1, sets, &options);
    pause.tv_sec = options.pause_ms / options.parts / 1000;
    pause.tv_nsec = options.pause_ms * 1000000 / options.parts % 1000000000;
    if (options.text)
        printf("guest: text %lu\n", options.text);
    for (enum kind kind = FAKE; kind < KINDS; kind++)
        count += sets[kind].count;
    pages = allocate(count);
    status = (volatile struct status *)pages[count - 1].words;
    status->magic = STATUS_MAGIC;
    for (enum kind kind = FAKE; kind < KINDS; kind++) {
        sets[kind].pages = pages;
        pages += sets[kind].count;
        fill(&sets[kind], kind, options.text);
        report_set(&sets[kind], kind);
    }
    printf("guest: status %" PRIu32 "\nguest: ready\n", pages->frame);

    sweeps_begin();
    start = reported = now_us();
    for (uint32_t sweep = 1;; sweep++) {
        uint64_t now;

        status->sweep = sweep;
        for (uint32_t part = 0; part < options.parts; part++) {
            write_part(sets, sweep, part, options.parts);
            if (part == options.parts - 1)
                status->done = sweep;
            if (options.pause_ms)
                nanosleep(&pause, NULL);
        }
        now = now_us();
        sweep_ended(now - start);
        start = now;
        if (now - reported >= options.report_ms * 1000) {
            report_sweeps();
            reported = now;
        }
    }
}
