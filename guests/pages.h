/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every page of every set holds after every sweep: the law that the guests write by and that
 * fakedirty/lab/guests/content.py checks by. Freestanding; shared by all guests.
 *
 * A page is filled with one 32-bit pattern, which no other page frame has, and, if that is asked for, with text
 * between: some of every 16 words, so that it compresses as records of a store do. A sweep stores to one word of
 * the page, its cell, whose place differs from page to page so that a hash which leaves out part of a page is
 * caught. A page changes by that single store, so at every instant it holds exactly what one sweep left:
 * pages of A-B-A and of zero and data have no room for a sweep number, and the status page has it instead.
 */
#ifndef GUESTS_PAGES_H
#define GUESTS_PAGES_H

#include <stdint.h>

#define PAGE_BYTES 4096
#define PAGE_WORDS (PAGE_BYTES / 4)
#define STATUS_MAGIC 0x59444b46u
#define REPORT_MS 1000 /* how often a guest reports its sweeps, unless it is told otherwise */
#define TEXT_WORDS 16 /* of so many words the first ones are text, as many as the guest is told */
#define PHASE_SWEEPS 16 /* how many sweeps a phase of silent or of real writes lasts */

enum kind { FAKE, CHANGED, ZERO, ABA, PHASED, UNTOUCHED, KINDS };

static const char *const kind_names[KINDS] = {"fake", "changed", "zero", "aba", "phased", "untouched"};

/* the first words of the status page; sweep 0 is the filling before `ready` */
struct status {
    uint32_t magic;
    uint32_t sweep; /* the sweep that is being written */
    uint32_t done;  /* the last sweep that is complete: sweep, or sweep - 1 */
};

static inline uint32_t pattern(uint32_t frame)
{
    return frame * 2654435761u; /* odd, so no two frames share a pattern and only frame 0 has zero */
}

static inline uint32_t cell(uint32_t frame)
{
    return frame * 37u % PAGE_WORDS;
}

/* four characters of text, each one of 64 with nothing to tell which */
static inline uint32_t letters(uint32_t frame, uint32_t word)
{
    uint32_t mixed = pattern(frame) + word * 2246822519u;

    mixed = (mixed ^ mixed >> 15) * 2246822519u;
    mixed = (mixed ^ mixed >> 13) * 3266489917u;
    return ((mixed ^ mixed >> 16) & 0x3f3f3f3fu) + 0x30303030u;
}

/* every word of a page but its cell, from before `ready` on; of every TEXT_WORDS words the first `text` are letters */
static inline uint32_t filling(enum kind kind, uint32_t frame, uint32_t word, uint32_t text)
{
    if (kind == ZERO)
        return 0;
    return word % TEXT_WORDS < text ? letters(frame, word) : pattern(frame);
}

/* where part `part` of a set begins, of `parts`: the last one ends where the set does */
static inline uint32_t part_of(uint32_t count, uint32_t part, uint32_t parts)
{
    return count / parts * part + count % parts * part / parts;
}

/* the last sweep until this one that wrote something else: phases are silent and real in turn, a silent one first */
static inline uint32_t phased(uint32_t sweep)
{
    uint32_t phase = sweep / PHASE_SWEEPS;

    if (phase % 2)
        return sweep;
    return phase ? phase * PHASE_SWEEPS - 1 : 0;
}

/* the cell of a page after a sweep */
static inline uint32_t content(enum kind kind, uint32_t frame, uint32_t sweep)
{
    switch (kind) {
    case CHANGED:
        return sweep;
    case ZERO:
        return sweep % 2 ? pattern(frame) : 0;
    case ABA:
        return sweep % 2 ? ~pattern(frame) : pattern(frame);
    case PHASED:
        return phased(sweep);
    default:
        return pattern(frame);
    }
}

#endif
