/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The few devices of a PC that the guest uses: COM1, the ACPI timer, and the PIT to end a hlt. */
#ifndef GUESTS_MACHINE_H
#define GUESTS_MACHINE_H

#include <stdint.h>

#define COM1 0x3f8
#define COM1_STATUS (COM1 + 5)
#define COM1_EMPTY 0x20
#define ACPI_TIMER 0x608 /* where SeaBIOS puts it on the pc machine; 24 bits, 39375/11 ticks a millisecond */
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

/* until the next interrupt (at most a millisecond), with the CPU idle; interrupts are off everywhere else */
void idle(void);

void start_timer(void);

/* milliseconds since start_timer(); must be called at least every 4.6 s, where the ACPI timer wraps */
uint32_t now_ms(void);

#endif
