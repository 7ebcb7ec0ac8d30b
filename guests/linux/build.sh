#!/bin/sh
# Builds the Linux guest (kernel, initrd) into directory $1. Without an argument it prints the packages of the guest.
# Packages: gcc libc6-dev cpio busybox-static
set -eu
cd "$(dirname "$0")"
. ../debian.sh

MODULES="virtio_balloon virtio_mem virtio_net net_failover failover virtio_pci virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev"

kernel=$(kernel_package)
if [ $# = 0 ]; then
    echo "$kernel"
    dpkg-query --show busybox-static gcc libc6-dev
    exit
fi

out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
download "$work" "$kernel"
dpkg-deb --extract "$work"/linux-image-*.deb "$work/root"
cp "$work"/root/boot/vmlinuz-* "$out/kernel"

mkdir -p "$work/tree/bin" "$work/tree/proc" "$work/tree/sys"
# shellcheck disable=SC2086
modules "$work/root" "$work/tree" $MODULES
gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -o "$work/tree/workingset" ../workingset.c ../console_report.c
cp /bin/busybox "$work/tree/bin/busybox"
install -m 755 init "$work/tree/init"
(cd "$work/tree" && find . | LC_ALL=C sort | cpio --create --quiet --format=newc --owner=0:0) > "$out/initrd"
