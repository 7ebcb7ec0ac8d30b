#!/bin/sh
# Builds the Linux guest (kernel, initrd) into directory $1; without one, names the packages that go into it.
# Packages: gcc libc6-dev cpio busybox-static
set -eu
cd "$(dirname "$0")"
. ../debian.sh

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
dpkg-deb --fsys-tarfile "$work"/linux-image-*.deb | tar --extract --to-stdout --wildcards './boot/vmlinuz-*' > "$out/kernel"

mkdir -p "$work/tree/bin" "$work/tree/proc"
gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -o "$work/tree/workingset" ../workingset.c told.c
cp /bin/busybox "$work/tree/bin/busybox"
install -m 755 init "$work/tree/init"
(cd "$work/tree" && find . | LC_ALL=C sort | cpio --create --quiet --format=newc --owner=0:0) > "$out/initrd"
