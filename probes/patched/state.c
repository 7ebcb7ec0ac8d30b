/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is kept of each process in the level patched: a QEMU with the patch series, which reports batches of page
 * records and rounds by trace events. Nothing is hashed here, and a batch of pages costs one trap.
 *
 * For each location of a trace event user space appends a small program, which fetches the arguments and calls the
 * handler with the name of the event.
 *
 * With multifd the threads of all channels report the pages that they send, all at the same time. So no two programs
 * write the same memory: a batch lies in an element of its thread's own, and a round on the stack. Counts of a round
 * are the exception, and are added to atomically. QEMU reports a round after all of its batches, and one round after
 * the other, so nothing is added to the counts of a round that is reported.
 */

#define ROUNDS 16 /* rounds that may be open at once; a power of two */

struct process {
    struct process_head head;
    struct page_counts counts[ROUNDS];
};
