/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random numbers with a Zipfian distribution: number n of the items 0, 1, ... has a probability in proportion to
 * 1 / (n + 1)^constant.
 * The method is that of Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994).
 */
#ifndef ZIPFIAN_H
#define ZIPFIAN_H

#include <stdint.h>

#define ZIPFIAN_CONSTANT 0.99 /* as in YCSB */

struct zipfian {
    uint64_t items;
    double zeta, zeta_of_two;
};

/* Grow to `items` items. The time it takes is in proportion to the number of new items. */
void zipfian_grow(struct zipfian *zipfian, uint64_t items);

/* The item for a random number from [0, 1). */
uint64_t zipfian_item(const struct zipfian *zipfian, double drawn);

/* Scatter neighbouring numbers: FNV-1a of the eight bytes. */
uint64_t scatter(uint64_t number);

/* The next random number from [0, 1): xorshift64*, with a seed that is not 0. */
double uniform(uint64_t *state);

#endif
