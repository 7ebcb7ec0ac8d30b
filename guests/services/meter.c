/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Latencies are counted in a histogram with 32 buckets for each power of two. A reported latency is at most 1/32 too
 * low.
 */
#include "meter.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FINE_BITS 5
#define FINE (1 << FINE_BITS)
#define BUCKETS ((64 - FINE_BITS) * FINE + FINE)

static int port = -1;
static uint64_t operations, reported_ns;
static uint64_t buckets[BUCKETS];

/* A system call, because sysbench_meter.c may replace the function of the library. */
uint64_t now_ns(void)
{
    struct timespec now;

    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static unsigned bucket_of(uint64_t value)
{
    int shift;

    if (value < FINE)
        return value;
    shift = 63 - __builtin_clzll(value) - FINE_BITS;
    return (shift + 1) * FINE + (value >> shift) - FINE;
}

/* the smallest value of a bucket */
static uint64_t value_of(unsigned bucket)
{
    int shift = bucket / FINE - 1;

    return shift < 0 ? bucket : (uint64_t)(FINE + bucket % FINE) << shift;
}

void meter_open(void)
{
    const char *path = getenv(METER_VARIABLE);

    port = path ? open(path, O_WRONLY | O_CREAT, 0644) : -1;
    if (port < 0)
        meter_fail("the port %s: %s", path ? path : "in " METER_VARIABLE, path ? strerror(errno) : "not given");
    reported_ns = now_ns();
}

void meter_operations(uint64_t count)
{
    __atomic_fetch_add(&operations, count, __ATOMIC_RELAXED);
}

void meter_latency(uint64_t ns)
{
    __atomic_fetch_add(&buckets[bucket_of(ns)], 1, __ATOMIC_RELAXED);
}

static void write_line(const char *line, int length)
{
    if (write(port, line, length) != length)
        exit(1);
}

void meter_report(void)
{
    static uint64_t counts[BUCKETS];
    uint64_t now = now_ns(), done = __atomic_exchange_n(&operations, 0, __ATOMIC_RELAXED), count = 0, below = 0;
    double latencies_us[2] = {0};
    const unsigned percents[2] = {50, 99};
    unsigned which = 0;
    char line[120];

    for (unsigned i = 0; i < BUCKETS; i++)
        count += counts[i] = __atomic_exchange_n(&buckets[i], 0, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < BUCKETS && which < 2; i++) {
        below += counts[i];
        while (which < 2 && count && below * 100 >= count * percents[which])
            latencies_us[which++] = value_of(i) / 1000.0;
    }
    write_line(line, count ? snprintf(line, sizeof(line), "operations %" PRIu64 " %" PRIu64 " %.1f %.1f\n", done,
                                (now - reported_ns) / 1000, latencies_us[0], latencies_us[1])
                     : snprintf(line, sizeof(line), "operations %" PRIu64 " %" PRIu64 "\n", done,
                                (now - reported_ns) / 1000));
    reported_ns = now;
}

static void *report_forever(void *unused)
{
    uint64_t due = reported_ns;

    (void)unused;
    for (;;) {
        uint64_t now = now_ns();

        due += METER_MS * 1000000ULL;
        if (due > now)
            nanosleep(&(struct timespec){0, due - now}, NULL);
        else
            due = now; /* the thread was delayed: skip the missed reports */
        meter_report();
    }
    return NULL;
}

void meter_start(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, report_forever, NULL))
        meter_fail("no thread for reports");
}

void meter_fail(const char *format, ...)
{
    char line[200] = "error ";
    va_list arguments;
    int length = strlen(line);

    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof(line) - length - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof(line) - 2)
        length = sizeof(line) - 2;
    line[length++] = '\n';
    (void)!write(STDERR_FILENO, line, length);
    write_line(line, length);
    exit(1);
}
