#!/bin/sh
# Builds the bare-metal guest (kernel) into directory $1. Without an argument it prints the packages that it needs.
# Packages: gcc
set -eu
cd "$(dirname "$0")"

if [ $# = 0 ]; then
    dpkg-query --show gcc
    exit
fi
gcc -m32 -march=i386 -mgeneral-regs-only -ffreestanding -fno-pie -fno-stack-protector -fcf-protection=none \
    -fno-asynchronous-unwind-tables -std=gnu11 -O2 -Wall -Wextra -Werror \
    -nostdlib -static -no-pie -Wl,--build-id=none,--no-warn-rwx-segments,-z,noexecstack -T link.ld \
    -o "$1/kernel" start.S machine.c guest.c
