/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clock. The ACPI timer counts at a fixed rate under TCG and under KVM, needs no calibration, and stands still
 * while the VM is stopped. The PIT only wakes the CPU, so that a lost tick does no harm.
 */
#include "machine.h"

struct gate {
    uint16_t low, selector, type, high;
} __attribute__((packed));

struct pointer {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));

void interrupt(void);

static struct gate idt[IRQ_BASE + 16];
static uint32_t last_ticks, rest, milliseconds;

void start_timer(void)
{
    struct pointer pointer = {sizeof(idt) - 1, (uint32_t)idt};
    uint32_t handler = (uint32_t)interrupt;

    for (int irq = 0; irq < 16; irq++)
        idt[IRQ_BASE + irq] = (struct gate){handler, 8, 0x8e00, handler >> 16};
    __asm__ volatile("lidt %0" : : "m"(pointer));

    out8(0x20, 0x11); /* the first interrupt controller: vectors from IRQ_BASE, only the PIT unmasked */
    out8(0x21, IRQ_BASE);
    out8(0x21, 4);
    out8(0x21, 1);
    out8(0x21, 0xfe);
    out8(0xa1, 0xff);
    out8(0x43, 0x34); /* PIT channel 0, periodic */
    out8(0x40, PIT_DIVISOR & 0xff);
    out8(0x40, PIT_DIVISOR >> 8);

    last_ticks = in32(ACPI_TIMER);
}

uint32_t now_ms(void)
{
    uint32_t ticks = in32(ACPI_TIMER);

    rest += ((ticks - last_ticks) & 0xffffff) * 11;
    last_ticks = ticks;
    milliseconds += rest / 39375;
    rest %= 39375;
    return milliseconds;
}
