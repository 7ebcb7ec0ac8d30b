/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * quicksort MIB: fills arrays of 1,024 bytes with random integers and sorts them, one after the other, again and again,
 * in so much memory. An array is an operation.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "meter.h"

#define ARRAY_BYTES 1024
#define INTEGERS (ARRAY_BYTES / sizeof(int32_t))

/* xorshift64 with a fixed seed, so that every run sorts the same integers */
static uint64_t state = 0x9e3779b97f4a7c15;

static uint32_t random_integer(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state >> 32;
}

/* Hoare's partition around the middle. The smaller part is sorted first, so that the stack stays small. */
static void quicksort(int32_t *first, int32_t *last)
{
    while (first < last) {
        int32_t pivot = first[(last - first) / 2], *left = first - 1, *right = last + 1;

        for (;;) {
            int32_t swapped;

            while (*++left < pivot)
                ;
            while (*--right > pivot)
                ;
            if (left >= right)
                break;
            swapped = *left;
            *left = *right;
            *right = swapped;
        }
        if (right - first < last - right - 1) {
            quicksort(first, right);
            first = right + 1;
        } else {
            quicksort(right + 1, last);
            last = right;
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t arrays = argc > 1 ? strtod(argv[1], NULL) * (1 << 20) / ARRAY_BYTES : 0;
    int32_t *memory = calloc(arrays, ARRAY_BYTES);

    meter_open();
    if (!arrays || !memory)
        meter_fail("no memory for %" PRIu64 " arrays", arrays);
    meter_start();
    for (uint64_t i = 0;; i = (i + 1) % arrays) {
        int32_t *array = memory + i * INTEGERS;
        uint64_t start = now_ns();

        for (unsigned j = 0; j < INTEGERS; j++)
            array[j] = random_integer();
        quicksort(array, array + INTEGERS - 1);
        for (unsigned j = 1; j < INTEGERS; j++)
            if (array[j - 1] > array[j])
                meter_fail("array %" PRIu64 " is not in order at %u", i, j);
        meter_latency(now_ns() - start);
        meter_operations(1);
    }
}
