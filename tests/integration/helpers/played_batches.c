/*
 * Plays the part of a QEMU with the series whose channels of multifd all report pages at the same moment: what a real
 * QEMU does now and then happens here all the time. Its trace events have the names and arguments of QEMU's; what it is
 * told on its standard input is in test_observe_batches.py, and so are THREADS, and PACKET: the pages of a packet.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "events.h"

#define FACTOR 0x9e3779b97f4a7c15ULL

const char marks[] = "QEMU emulator version 0 [disk_image]";

/* a USDT location, as <sys/sdt.h> writes it down */
#define LOCATION(name, arguments)                            \
    "990: nop\n"                                             \
    ".pushsection .note.stapsdt, \"\", \"note\"\n"           \
    ".balign 4\n"                                            \
    ".4byte 992f - 991f, 994f - 993f, 3\n"                   \
    "991: .asciz \"stapsdt\"\n"                              \
    "992: .balign 4\n"                                       \
    "993: .8byte 990b, 0, 0\n"                               \
    ".asciz \"qemu\"\n.asciz \"" name "\"\n.asciz \"" arguments "\"\n" \
    "994: .balign 4\n"                                       \
    ".popsection\n"
#define CALLED __attribute__((noinline, noclone, used))

static CALLED void fake_dirty_batch(const char *block, uint64_t round, const void *records, uint64_t count)
{
    asm volatile(LOCATION("fake_dirty_batch", "8@%%rdi 8@%%rsi 8@%%rdx 8@%%rcx")
                 : : "D"(block), "S"(round), "d"(records), "c"(count) : "memory");
}

static CALLED void migration_round(uint64_t number, uint64_t pages, const void *record, uint64_t size)
{
    asm volatile(LOCATION("migration_round", "8@%%rdi 8@%%rsi 8@%%rsi 8@$0 8@%%rdx 8@%%rcx")
                 : : "D"(number), "S"(pages), "d"(record), "c"(size) : "memory");
}

static CALLED void migrate_set_state(const char *state)
{
    asm volatile(LOCATION("migrate_set_state", "8@%%rdi") : : "D"(state) : "memory");
}

static CALLED void fake_dirty_mode(uint64_t round, const char *from, const char *to, const char *hash)
{
    asm volatile(LOCATION("fake_dirty_mode", "8@%%rdi 8@%%rsi 8@%%rdx 8@%%rcx")
                 : : "D"(round), "S"(from), "d"(to), "c"(hash) : "memory");
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static unsigned int round_number;
static unsigned int packets; /* of each thread */
static pthread_barrier_t together;
static uint64_t started_ns;

/* a thread's pages are all of one class, and of the block with its own name */
static unsigned int class_of(intptr_t thread)
{
    return thread % 3;
}

static void *channel(void *argument)
{
    intptr_t thread = (intptr_t)argument;
    struct page_record records[PACKET];
    char block[BLOCK_BYTES];

    snprintf(block, sizeof(block), "block-%d", (int)thread);
    pthread_barrier_wait(&together);
    for (uint64_t packet = 0; packet < packets; packet++) {
        for (uint64_t i = 0; i < PACKET; i++) {
            uint64_t page = (packet * THREADS + thread) * PACKET + i;

            records[i].hash = page * FACTOR + round_number;
            records[i].tag = page << 16 | class_of(thread) << 8 | DISPOSITION_NORMAL;
        }
        fake_dirty_batch(block, round_number, records, PACKET);
    }
    return NULL;
}

static void end_round(void)
{
    struct migration_round_record record = {
        .version = ROUND_VERSION,
        .size = sizeof(record),
        .migration_start_ns = started_ns,
        .start_ns = now_ns(),
        .end_ns = now_ns(),
        .round = round_number,
        .kind = round_number > 1,
        .flags = ROUND_CLASSIFIED,
        .mode = 1,
    };
    unsigned long long *classes[] = {&record.first_pages, &record.changed_pages, &record.fake_pages};

    for (intptr_t thread = 0; thread < THREADS; thread++) {
        *classes[class_of(thread)] += packets * PACKET;
    }
    record.visited_pages = record.normal_pages = record.dirty_pages = packets * PACKET * THREADS;
    migration_round(round_number, record.visited_pages, &record, sizeof(record));
}

static void *migration_thread(void *unused)
{
    char line[64], word[32];

    started_ns = now_ns();
    migrate_set_state("active");
    fake_dirty_mode(0, "off", "observe", "xxh3-64");
    while (fgets(line, sizeof(line), stdin) && sscanf(line, "%31s %u", word, &packets) >= 1) {
        if (!strcmp(word, "round")) {
            pthread_t threads[THREADS];

            round_number++;
            for (intptr_t i = 0; i < THREADS; i++) {
                pthread_create(&threads[i], NULL, channel, (void *)i);
            }
            for (int i = 0; i < THREADS; i++) {
                pthread_join(threads[i], NULL);
            }
            end_round();
        } else {
            migrate_set_state(word);
        }
        puts("ok");
        fflush(stdout);
    }
    return NULL;
}

int main(void)
{
    pthread_t migration;
    char line[8];

    pthread_barrier_init(&together, NULL, THREADS);
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin)) {
        return !marks[0];
    }
    migrate_set_state("setup");
    puts("ok");
    fflush(stdout);
    pthread_create(&migration, NULL, migration_thread, NULL);
    pthread_join(migration, NULL);
    return 0;
}
