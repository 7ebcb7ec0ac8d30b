/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "zipfian.h"

#include <math.h>

void zipfian_grow(struct zipfian *zipfian, uint64_t items)
{
    for (uint64_t n = zipfian->items; n < items; n++) {
        zipfian->zeta += pow(n + 1, -ZIPFIAN_CONSTANT);
        if (n == 1)
            zipfian->zeta_of_two = zipfian->zeta;
    }
    zipfian->items = items;
}

uint64_t zipfian_item(const struct zipfian *zipfian, double drawn)
{
    double scaled = drawn * zipfian->zeta, eta;
    uint64_t item;

    if (scaled < 1)
        return 0;
    if (scaled < zipfian->zeta_of_two)
        return 1;
    eta = (1 - pow(2.0 / zipfian->items, 1 - ZIPFIAN_CONSTANT)) / (1 - zipfian->zeta_of_two / zipfian->zeta);
    item = zipfian->items * pow(eta * drawn - eta + 1, 1 / (1 - ZIPFIAN_CONSTANT));
    return item < zipfian->items ? item : zipfian->items - 1;
}

uint64_t scatter(uint64_t number)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (int i = 0; i < 8; i++) {
        hash ^= number >> 8 * i & 0xff;
        hash *= 0x100000001b3;
    }
    return hash;
}

double uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 0x2545f4914f6cdd1d >> 11) * 0x1p-53;
}
