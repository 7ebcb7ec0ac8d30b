/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices of a PC that the guest uses: COM1, the ACPI timer, and the PIT, which ends a hlt. */
#ifndef GUESTS_MACHINE_H
#define GUESTS_MACHINE_H

#include <stdint.h>

#define COM1 0x3f8
#define COM1_STATUS (COM1 + 5)
#define COM1_EMPTY 0x20
#define ACPI_TIMER 0x608 /* its port with SeaBIOS on the pc machine; 24 bits, 39375/11 ticks per millisecond */
#define PIT_DIVISOR 1193 /* 1 kHz */
#define IRQ_BASE 0x20

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Sleep until the next interrupt, at most a millisecond. Interrupts are off everywhere else. */
void idle(void);

/* Start the clock and the interrupts of the PIT. */
void start_timer(void);

/* Milliseconds since start_timer(). It must be called at least every 4.6 s, because the ACPI timer wraps. */
uint32_t now_ms(void);

#endif
