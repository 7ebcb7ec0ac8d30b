/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of a key-value store on this machine, over one connection. */
#ifndef STORE_H
#define STORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct store {
    FILE *in, *out;
    const struct protocol *protocol;
};

/* Connect to "memcached" or "redis" at its own port, or at `port` if that is not 0. It may still be starting. */
void store_open(struct store *store, const char *name, uint16_t port);

/* Send a value of `bytes` bytes; wait until the store has acknowledged `count` sent values. */
void store_send_set(struct store *store, uint64_t key, const char *value, size_t bytes);
void store_await_sets(struct store *store, unsigned count);

/* Read the values of `count` keys from `first` on; returns how many exist. */
unsigned store_get(struct store *store, uint64_t first, unsigned count);

/* Send a line, and read a line without its end, for commands that only one of the protocols has. */
void store_send_line(struct store *store, const char *line);
char *store_read_line(struct store *store, char *line, size_t bytes);

#endif
