/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The law of page contents: what every page of every set holds after every sweep. The guests write by it, and
 * fakedirty/lab/guests/content.py checks by it. Freestanding; all guests share it.
 *
 * A page is filled with a 32-bit pattern that no other page frame has. With the option `text`, some of every 16 words
 * are text instead, so that the page compresses like records of a store. A sweep stores to one word of the page, its
 * cell. The place of the cell differs from page to page, so that a hash which leaves out part of a page is caught.
 *
 * A page changes by that single store, so that it always holds exactly the content of one sweep. Pages of the sets
 * A-B-A and zero have no room for the number of the sweep: the status page has it.
 */
#ifndef GUESTS_PAGES_H
#define GUESTS_PAGES_H

#include <stdint.h>

#define PAGE_BYTES 4096
#define PAGE_WORDS (PAGE_BYTES / 4)
#define STATUS_MAGIC 0x59444b46u
#define REPORT_MS 1000 /* the default time between two reports of sweeps */
#define TEXT_WORDS 16 /* of each group of so many words, the first ones may be text */
#define PHASE_SWEEPS 16 /* the length of a phase of silent or of real writes */

enum kind { FAKE, CHANGED, ZERO, ABA, PHASED, UNTOUCHED, KINDS };

static const char *const kind_names[KINDS] = {"fake", "changed", "zero", "aba", "phased", "untouched"};

/* The first words of the status page. Sweep 0 is the filling before `ready`. */
struct status {
    uint32_t magic;
    uint32_t sweep; /* the sweep that is being written */
    uint32_t done;  /* the last complete sweep: sweep, or sweep - 1 */
};

static inline uint32_t pattern(uint32_t frame)
{
    return frame * 2654435761u; /* odd, so no two frames share a pattern and only frame 0 has zero */
}

static inline uint32_t cell(uint32_t frame)
{
    return frame * 37u % PAGE_WORDS;
}

/* four characters of text, each one of 64, without a pattern that a codec could use */
static inline uint32_t letters(uint32_t frame, uint32_t word)
{
    uint32_t mixed = pattern(frame) + word * 2246822519u;

    mixed = (mixed ^ mixed >> 15) * 2246822519u;
    mixed = (mixed ^ mixed >> 13) * 3266489917u;
    return ((mixed ^ mixed >> 16) & 0x3f3f3f3fu) + 0x30303030u;
}

/* the content of every word of a page except its cell; of every TEXT_WORDS words the first `text` are letters */
static inline uint32_t filling(enum kind kind, uint32_t frame, uint32_t word, uint32_t text)
{
    if (kind == ZERO)
        return 0;
    return word % TEXT_WORDS < text ? letters(frame, word) : pattern(frame);
}

/* the index at which part `part` of `parts` begins; part number `parts` begins at the end of the set */
static inline uint32_t part_of(uint32_t count, uint32_t part, uint32_t parts)
{
    return count / parts * part + count % parts * part / parts;
}

/* the last sweep, up to this one, that changed the page; silent and real phases alternate, a silent one is first */
static inline uint32_t phased(uint32_t sweep)
{
    uint32_t phase = sweep / PHASE_SWEEPS;

    if (phase % 2)
        return sweep;
    return phase ? phase * PHASE_SWEEPS - 1 : 0;
}

/* the content of the cell of a page after a sweep */
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
