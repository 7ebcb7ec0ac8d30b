/*
 * Plays the part of QEMU that levels stock and usdt see of a migration with multifd, page by page as it is told on its
 * standard input: what a real QEMU does only now and then happens here on demand. Functions have the names and
 * arguments of QEMU's; what it is told is in test_observe_channels.py.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define PAGE 4096
#define PAGES 4096
#define MOST 128
#define CHANNELS 4
#define CALLED __attribute__((noinline, noclone, used))

const char marks[] = "QEMU emulator version 0 [disk_image]";

static const char *const names[] = {"none", "setup", "active", "completed", "failed", "cancelled"};
const struct {
    const char *const *array;
    int size;
} MigrationStatus_lookup = {names, 6};

struct RAMBlock {
    uint64_t rcu[2];
    void *region;
    uint8_t *host;
    uint8_t *colo_cache;
    uint64_t offset, used_length, max_length;
    void *resized;
    uint32_t flags;
    char idstr[256];
} __attribute__((packed)) block = {.used_length = PAGES * PAGE, .max_length = PAGES * PAGE, .idstr = "pc.ram"};

struct packet {
    uint32_t magic, version, flags, pages_allocated, normal_pages, next_packet_size;
    uint64_t packet_number;
    uint32_t zero_pages, unused[7];
    char block[256];
    uint64_t offsets[MOST];
};

static int state, done;
static uint8_t file[256];
static volatile int sink;

CALLED int buffer_is_zero(const void *buffer, size_t size) { return sink + ((uint8_t *)buffer)[size - 1]; }
CALLED void qemu_put_buffer_async(void *to, const uint8_t *buffer, size_t size) { sink += buffer[size - 1]; }
CALLED void memory_global_dirty_log_start(unsigned flags) { sink += flags; }
CALLED void memory_global_dirty_log_stop(unsigned flags) { sink += flags; }
CALLED void memory_global_dirty_log_sync(void) { sink++; }
CALLED void migrate_set_state(int *where, int from, int to) { *where = *where == from ? to : *where; }

CALLED int multifd_queue_page(void *first, void *second, uint64_t third) { return sink += third != 0; }

CALLED int qio_channel_writev_full_all(void *to, const struct iovec *buffers, size_t count, int *fds, size_t nfds,
                                       int flags, void *error)
{
    return sink += count;
}

/* what a channel is told to write */
static struct job {
    int normal, zeros, bare;
    uint64_t pages[MOST];
} job;
static int turn = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void write_packet(const struct job *what)
{
    struct packet packet = {.magic = htobe32(0x11223344), .version = htobe32(1), .pages_allocated = htobe32(MOST)};
    struct iovec buffers[MOST + 1];
    int count = 0;

    packet.normal_pages = htobe32(what->normal);
    packet.zero_pages = htobe32(what->zeros);
    strcpy(packet.block, block.idstr);
    for (int i = 0; i < what->normal + what->zeros; i++) {
        packet.offsets[i] = htobe64(what->pages[i] * PAGE);
    }
    if (!what->bare) {
        buffers[count++] = (struct iovec){&packet, sizeof(packet)};
    }
    for (int i = 0; i < what->normal; i++) {
        buffers[count++] = (struct iovec){block.host + what->pages[i] * PAGE, PAGE};
    }
    qio_channel_writev_full_all(file, buffers, count, NULL, 0, 0, NULL);
}

CALLED void *multifd_send_thread(void *number)
{
    pthread_mutex_lock(&lock);
    for (;;) {
        while (turn != (intptr_t)number && !done) {
            pthread_cond_wait(&changed, &lock);
        }
        if (done) {
            break;
        }
        write_packet(&job);
        turn = -1;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

CALLED void multifd_register_ops(void) { sink++; }

static void let_write(int channel, int bare, char *words)
{
    char *word, *rest;

    pthread_mutex_lock(&lock);
    memset(&job, 0, sizeof(job));
    job.bare = bare;
    for (word = strtok_r(words, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        int zero = *word == 'z';

        job.pages[job.normal + job.zeros] = strtoul(word + zero, NULL, 10);
        zero ? job.zeros++ : job.normal++;
    }
    turn = channel;
    pthread_cond_broadcast(&changed);
    while (turn >= 0) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void *migration_thread(void *unused)
{
    char line[4096], word[32];
    int number, value, length;

    while (fgets(line, sizeof(line), stdin)) {
        sscanf(line, "%31s%n", word, &length);
        number = value = 0;
        sscanf(line + length, "%d %d", &number, &value);
        uint8_t *page = block.host + (uint64_t)number * PAGE;
        if (!strcmp(word, "start")) {
            memory_global_dirty_log_start(1);
        } else if (!strcmp(word, "sync")) {
            memory_global_dirty_log_sync();
        } else if (!strcmp(word, "state")) {
            migrate_set_state(&state, state, number);
        } else if (!strcmp(word, "stop")) {
            memory_global_dirty_log_stop(1);
        } else if (!strcmp(word, "test")) {
            buffer_is_zero(page, PAGE);
        } else if (!strcmp(word, "queue")) {
            multifd_queue_page(&block, (void *)((uint64_t)number * PAGE), 0);
        } else if (!strcmp(word, "queue-to")) {
            multifd_queue_page(file, &block, (uint64_t)number * PAGE);
        } else if (!strcmp(word, "write")) {
            memset(page, value, PAGE);
        } else {
            char *words = strpbrk(line + length + 1, " \n");

            let_write(number, !strcmp(word, "bare"), words ? words : "");
        }
        puts("ok");
        fflush(stdout);
    }
    return NULL;
}

int main(void)
{
    pthread_t migration, channels[CHANNELS];

    block.host = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(block.host, 1, PAGES * PAGE);
    for (intptr_t i = 0; i < CHANNELS; i++) {
        pthread_create(&channels[i], NULL, multifd_send_thread, (void *)i);
    }
    pthread_create(&migration, NULL, migration_thread, NULL);
    pthread_join(migration, NULL);
    pthread_mutex_lock(&lock);
    done = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < CHANNELS; i++) {
        pthread_join(channels[i], NULL);
    }
    return sink && marks[0] ? 0 : 1;
}
