/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a QEMU's migration thread does in the eyes of the stock level, with memory that cannot be read: no
 * QEMU can be made to have any. Says that it is ready, waits for a line on its standard input, sends PAGES
 * pages in each of two rounds, every fourth of them unreadable, and waits for another line.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>

#define PAGES 64
#define PAGE_BYTES 4096
#define API __attribute__((noipa, visibility("default")))

/* texts of a QEMU, by which it counts as one */
const char *const texts[] = {"QEMU emulator version", "[disk_image]"};

enum { NONE, ACTIVE, COMPLETED };

static const char *const names[] = {"none", "active", "completed"};
const struct {
    const char *const *array;
    int size;
} MigrationStatus_lookup = {names, 3};

API void qemu_put_buffer_async(void *file, const void *page, size_t size, int may_free) {}
API int buffer_is_zero(const void *page, size_t size) { return 0; }
API void memory_global_dirty_log_start(unsigned int flags) {}
API void memory_global_dirty_log_sync(int last) {}
API void memory_global_dirty_log_stop(unsigned int flags) {}
API void migrate_set_state(int *state, int from, int to) { *state = to; }

static void *migrate(void *memory)
{
    int state = ACTIVE;

    memory_global_dirty_log_start(1);
    for (int round = 0; round < 2; round++) {
        memory_global_dirty_log_sync(0);
        for (int page = 0; page < PAGES; page++) {
            qemu_put_buffer_async(NULL, (char *)memory + page * PAGE_BYTES, PAGE_BYTES, 0);
        }
    }
    migrate_set_state(&state, ACTIVE, COMPLETED);
    memory_global_dirty_log_stop(1);
    return NULL;
}

int main(void)
{
    char *memory = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;

    for (int page = 0; page < PAGES; page++) {
        memory[page * PAGE_BYTES] = page + 1;
        if (page % 4 == 0) {
            mprotect(memory + page * PAGE_BYTES, PAGE_BYTES, PROT_NONE);
        }
    }
    puts("ready");
    fflush(stdout);
    getchar();
    pthread_create(&thread, NULL, migrate, memory);
    pthread_join(thread, NULL);
    getchar();
    return 0;
}
