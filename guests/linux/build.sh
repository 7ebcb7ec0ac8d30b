#!/bin/sh
# Builds the Linux guest (kernel, initrd) into directory $1; without one, names the packages that go into it.
# Packages: gcc libc6-dev cpio busybox-static
# The kernel's package is downloaded and unpacked, not installed.
set -eu
cd "$(dirname "$0")"

# "linux-image-6.1.0-N-cloud-amd64 (= 6.1.M-1)" of the meta package, the brackets taken off
set -- "${1:-}" $(apt-cache show --no-all-versions linux-image-cloud-amd64 | sed -n 's/^Depends: //p' | tr -d '(=)')
[ $# = 3 ] || { echo "no package linux-image-cloud-amd64 is known: run apt-get update" >&2; exit 1; }
package=$2 version=$3
if [ -z "$1" ]; then
    echo "$package $version"
    dpkg-query --show busybox-static gcc libc6-dev
    exit
fi

out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package=$version")
dpkg-deb --fsys-tarfile "$work"/linux-image-*.deb | tar --extract --to-stdout --wildcards './boot/vmlinuz-*' > "$out/kernel"

mkdir -p "$work/tree/bin" "$work/tree/proc"
gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -o "$work/tree/workingset" ../workingset.c
cp /bin/busybox "$work/tree/bin/busybox"
install -m 755 init "$work/tree/init"
(cd "$work/tree" && find . | LC_ALL=C sort | cpio --create --quiet --format=newc --owner=0:0) > "$out/initrd"
