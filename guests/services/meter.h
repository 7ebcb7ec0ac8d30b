/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program gets done: counted and timed as it goes, and told ten times a second (guests/README.md). */
#ifndef METER_H
#define METER_H

#include <stdint.h>

#define METER_MS 100
#define METER_VARIABLE "METER" /* of the environment: the file that reports go to */

/* Tell on the file named in the environment from now on; ends the program where there is none. */
void meter_open(void);

/* From any thread: `count` operations were done; one operation took `ns`. */
void meter_operations(uint64_t count);
void meter_latency(uint64_t ns);

/* Tell what was done since the last report; for a program that watches the clock itself. */
void meter_report(void);

/* A thread that does so every METER_MS. */
void meter_start(void);

/* Ends the program, with the reason as the last words on its port. */
void meter_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

uint64_t now_ns(void);

#endif
