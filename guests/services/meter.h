/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts and times the operations of a program, and reports them ten times a second (guests/README.md). */
#ifndef METER_H
#define METER_H

#include <stdint.h>

#define METER_MS 100
#define METER_VARIABLE "METER" /* the environment variable that names the file of the reports */

/* Open the file named in the environment; ends the program if there is none. */
void meter_open(void);

/* Count `count` operations; count an operation that took `ns` nanoseconds. Any thread may call them. */
void meter_operations(uint64_t count);
void meter_latency(uint64_t ns);

/* Report the operations since the previous report, for a program that reads the clock itself. */
void meter_report(void);

/* Start a thread that reports every METER_MS. */
void meter_start(void);

/* Write the reason to the file of the reports, and end the program. */
void meter_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

uint64_t now_ns(void);

#endif
