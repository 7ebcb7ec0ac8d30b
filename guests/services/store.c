/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "meter.h"

#define KEY "user%012" PRIu64
#define KEY_BYTES 16
#define OPENING_SECONDS 60
#define LINE_BYTES 512

struct protocol {
    const char *name;
    uint16_t port;
    const char *stored; /* the answer to a set */
    void (*send_set)(struct store *, uint64_t key, const char *value, size_t bytes);
    unsigned (*get)(struct store *, uint64_t first, unsigned count);
};

char *store_read_line(struct store *store, char *line, size_t bytes)
{
    if (!fgets(line, bytes, store->in))
        meter_fail("%s closed the connection", store->protocol->name);
    line[strcspn(line, "\r\n")] = 0;
    return line;
}

void store_send_line(struct store *store, const char *line)
{
    fprintf(store->out, "%s\r\n", line);
    fflush(store->out);
}

static void __attribute__((noreturn)) fail_unexpected(struct store *store, const char *line)
{
    meter_fail("%s answered \"%.80s\"", store->protocol->name, line);
}

/* Read and drop a value and the end of its line. */
static void drop_value(struct store *store, size_t bytes)
{
    char block[4096];

    for (size_t left = bytes + 2; left;) {
        size_t got = fread(block, 1, left < sizeof(block) ? left : sizeof(block), store->in);

        if (!got)
            meter_fail("%s closed the connection", store->protocol->name);
        left -= got;
    }
}

static void memcached_send_set(struct store *store, uint64_t key, const char *value, size_t bytes)
{
    fprintf(store->out, "set " KEY " 0 0 %zu\r\n", key, bytes);
    fwrite(value, 1, bytes, store->out);
    fputs("\r\n", store->out);
}

static unsigned memcached_get(struct store *store, uint64_t first, unsigned count)
{
    char line[LINE_BYTES];
    unsigned found = 0;
    size_t bytes;

    fprintf(store->out, "get");
    for (unsigned i = 0; i < count; i++)
        fprintf(store->out, " " KEY, first + i);
    store_send_line(store, "");
    for (; strcmp(store_read_line(store, line, sizeof(line)), "END"); found++) {
        if (sscanf(line, "VALUE %*s %*u %zu", &bytes) != 1)
            fail_unexpected(store, line);
        drop_value(store, bytes);
    }
    return found;
}

static void redis_send_set(struct store *store, uint64_t key, const char *value, size_t bytes)
{
    fprintf(store->out, "*3\r\n$3\r\nSET\r\n$%d\r\n" KEY "\r\n$%zu\r\n", KEY_BYTES, key, bytes);
    fwrite(value, 1, bytes, store->out);
    fputs("\r\n", store->out);
}

static unsigned redis_get(struct store *store, uint64_t first, unsigned count)
{
    char line[LINE_BYTES];
    unsigned found = 0, answers;
    int bytes;

    fprintf(store->out, "*%u\r\n$4\r\nMGET\r\n", count + 1);
    for (unsigned i = 0; i < count; i++)
        fprintf(store->out, "$%d\r\n" KEY "\r\n", KEY_BYTES, first + i);
    fflush(store->out);
    if (sscanf(store_read_line(store, line, sizeof(line)), "*%u", &answers) != 1 || answers != count)
        fail_unexpected(store, line);
    for (unsigned i = 0; i < answers; i++) {
        if (sscanf(store_read_line(store, line, sizeof(line)), "$%d", &bytes) != 1)
            fail_unexpected(store, line);
        if (bytes >= 0) {
            drop_value(store, bytes);
            found++;
        }
    }
    return found;
}

static const struct protocol protocols[] = {
    {"memcached", 11211, "STORED", memcached_send_set, memcached_get},
    {"redis", 6379, "+OK", redis_send_set, redis_get},
};

void store_open(struct store *store, const char *name, uint16_t port)
{
    uint64_t deadline = now_ns() + OPENING_SECONDS * 1000000000ULL;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int connection;

    store->protocol = NULL;
    for (unsigned i = 0; i < sizeof(protocols) / sizeof(*protocols); i++)
        if (!strcmp(protocols[i].name, name))
            store->protocol = &protocols[i];
    if (!store->protocol)
        meter_fail("no such store: %s", name);
    address.sin_port = htons(port ? port : store->protocol->port);
    for (;;) {
        connection = socket(AF_INET, SOCK_STREAM, 0);
        if (connection >= 0 && !connect(connection, (struct sockaddr *)&address, sizeof(address)))
            break;
        if (now_ns() > deadline)
            meter_fail("%s does not answer: %s", name, strerror(errno));
        close(connection);
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    store->in = fdopen(connection, "r");
    store->out = fdopen(dup(connection), "w");
    if (!store->in || !store->out)
        meter_fail("%s: %s", name, strerror(errno));
}

void store_send_set(struct store *store, uint64_t key, const char *value, size_t bytes)
{
    store->protocol->send_set(store, key, value, bytes);
}

void store_await_sets(struct store *store, unsigned count)
{
    char line[LINE_BYTES];

    fflush(store->out);
    while (count--)
        if (strcmp(store_read_line(store, line, sizeof(line)), store->protocol->stored))
            fail_unexpected(store, line);
}

unsigned store_get(struct store *store, uint64_t first, unsigned count)
{
    return store->protocol->get(store, first, count);
}
