/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers of which few are frequent: number n of the items 0, 1, ... comes up in proportion to 1 / (n + 1)^constant.
 * The method is that of Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994).
 */
#ifndef ZIPFIAN_H
#define ZIPFIAN_H

#include <stdint.h>

#define ZIPFIAN_CONSTANT 0.99 /* that of YCSB */

struct zipfian {
    uint64_t items;
    double zeta, zeta_of_two;
};

/* Have `items` items, more than before or the first ones; takes as long as there are new ones. */
void zipfian_grow(struct zipfian *zipfian, uint64_t items);

/* The item for a number that was drawn from [0, 1). */
uint64_t zipfian_item(const struct zipfian *zipfian, double drawn);

/* Where a number goes that shall not lie beside its neighbours: FNV-1a of its eight bytes. */
uint64_t scattered(uint64_t number);

/* xorshift64* from a seed that is not 0: a number from [0, 1) */
double uniform(uint64_t *state);

#endif
