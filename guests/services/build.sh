#!/bin/sh
# Builds the guest of services (kernel, initrd) into directory $1. Without an argument it prints the guest's packages.
# Packages: gcc libc6-dev cpio busybox-static
set -eu
cd "$(dirname "$0")"
. ../debian.sh

PROGRAMS="sysbench memcached memcaslap redis-server"
PACKAGES="sysbench memcached libmemcached-tools redis-server redis-tools" # redis-server is a link into redis-tools
MODULES="virtio_console virtio_pci virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev"
OURS="quicksort ycsb memcached_meter"

# Print PACKAGES and the libraries that they depend on; of alternatives the first one.
with_libraries() {
    # shellcheck disable=SC2086
    apt-cache depends --recurse --important $PACKAGES | awk -v start="$PACKAGES" '
        /^[^ ]/ { package = $1 }
        / \|?(Pre)?Depends: / {
            if (!alternative && $2 ~ /^z?lib/)
                needs[package] = needs[package] " " $2
            alternative = /\|/
        }
        END {
            count = split(start, queue)
            for (i = 1; i <= count; i++) {
                if (printed[queue[i]]++)
                    continue
                print queue[i]
                more = split(needs[queue[i]], found)
                for (j = 1; j <= more; j++)
                    queue[++count] = found[j]
            }
        }'
}

kernel=$(kernel_package)
# shellcheck disable=SC2046
packages=$(apt-cache show --no-all-versions $(with_libraries) |
    awk '/^Package:/ { name = $2 } /^Version:/ { print name "=" $2 }' | LC_ALL=C sort)
if [ $# = 0 ]; then
    echo "$kernel"
    echo "$packages"
    dpkg-query --show busybox-static gcc libc6-dev
    exit
fi

out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root tree=$work/tree
mkdir -p "$root" "$tree/bin" "$tree/etc" "$tree/proc" "$tree/dev" "$tree/sys"

# shellcheck disable=SC2086
download "$work" "$kernel" $packages
for package in "$work"/*.deb; do
    dpkg-deb --extract "$package" "$root"
done
cp "$root"/boot/vmlinuz-* "$out/kernel"

# shellcheck disable=SC2086
modules "$root" "$tree" $MODULES

# the programs, with the libraries that the loader finds for them, at the places where it will search
libraries=lib/x86_64-linux-gnu
mkdir -p "$tree/$libraries" "$tree/lib64"
loader=$root/lib64/$(basename "$(readlink "$root/lib64/ld-linux-x86-64.so.2")")
cp -L "$root/$libraries/$(basename "$loader")" "$tree/lib64/"
for program in $PROGRAMS; do
    cp -L "$root/usr/bin/$program" "$tree/bin/"
    "$tree/lib64/$(basename "$loader")" --library-path "$root/$libraries:$root/usr/$libraries" --list \
        "$tree/bin/$program" | awk '$2 == "=>"' > "$work/needs"
    if grep -v "=> $work/" "$work/needs" >&2; then
        echo "these libraries of $program are in none of its packages" >&2
        exit 1
    fi
    awk '{ print $3 }' "$work/needs" | xargs cp -L -t "$tree/$libraries"
done

flags="-std=gnu11 -O2 -Wall -Wextra -Werror -pthread"
for name in $OURS; do
    # shellcheck disable=SC2086
    gcc $flags -static -s -o "$tree/bin/$name" "$name.c" meter.c zipfian.c store.c -lm
done
# shellcheck disable=SC2086
gcc $flags -static -s -o "$tree/bin/workingset" ../workingset.c metered.c meter.c
# shellcheck disable=SC2086
gcc $flags -s -shared -fPIC -o "$tree/lib/sysbench_meter.so" sysbench_meter.c meter.c
cp /bin/busybox "$tree/bin/busybox"
echo "root:x:0:0:root:/:/bin/sh" > "$tree/etc/passwd" # memcached looks up its user
install -m 755 init "$tree/init"
(cd "$tree" && find . | LC_ALL=C sort | cpio --create --quiet --format=newc --owner=0:0) > "$out/initrd"
