/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way from the multiboot loader to main(): a stack, own segments, and idle(). */

        .section .multiboot, "a"
        .align  4
        .long   0x1badb002              /* magic */
        .long   0x00000002              /* flags: report the memory size */
        .long   -(0x1badb002 + 0x00000002)

        .text
        .globl  start
start:
        cli
        movl    $stack_top, %esp
        lgdt    gdt_pointer
        ljmp    $8, $1f
1:      movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        pushl   %ebx                    /* struct multiboot * */
        call    main
2:      hlt
        jmp     2b

/*
 * void idle(void): wait for the next interrupt; interrupts are off everywhere else. The handler does not return to the
 * interrupted instruction, but to the caller of idle(), with interrupts off: a KVM that emulates unpaged protected mode
 * has no iret.
 */
        .globl  idle
idle:
        sti
2:      hlt
        jmp     2b

        .globl  interrupt
interrupt:
        addl    $12, %esp
        movb    $0x20, %al
        outb    %al, $0x20
        ret

        .section .rodata
        .align  8
gdt:
        .quad   0
        .quad   0x00cf9a000000ffff      /* 8: code, 4 GiB, flat */
        .quad   0x00cf92000000ffff      /* 16: data, 4 GiB, flat */
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .section .bss
        .align  4096
        .skip   4096
stack_top:
