/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of a store of keys and values on this machine, over one connection. */
#ifndef STORE_H
#define STORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct store {
    FILE *in, *out;
    const struct protocol *protocol;
};

/* Connect to "memcached" or "redis" on its port, or on `port` if that is not 0; waits for one that is just starting. */
void store_open(struct store *store, const char *name, uint16_t port);

/* Put `bytes` of a value there, and wait until so many that were sent are there. */
void store_send_set(struct store *store, uint64_t key, const char *value, size_t bytes);
void store_await_sets(struct store *store, unsigned count);

/* Ask for the values of `count` keys from `first` on: how many there were. */
unsigned store_get(struct store *store, uint64_t first, unsigned count);

/* Send a line as it is, and read one; without its end. For what only one of the protocols has. */
void store_ask(struct store *store, const char *line);
char *store_line(struct store *store, char *line, size_t bytes);

#endif
