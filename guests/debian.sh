# Functions for the recipes of guests that consist of Debian packages: these are downloaded and unpacked, not installed.

# Print the kernel package that the meta package depends on: "linux-image-6.1.0-N-cloud-amd64=6.1.M-1".
kernel_package() {
    found=$(apt-cache show --no-all-versions linux-image-cloud-amd64 | sed -n 's/^Depends: \([^ ]*\) (= \(.*\))$/\1=\2/p')
    [ -n "$found" ] || { echo "no package linux-image-cloud-amd64 is known: run apt-get update" >&2; exit 1; }
    echo "$found"
}

# `download DIR PACKAGE=VERSION...`: download the packages into DIR.
download() (
    cd "$1"
    shift
    apt-get -qq -o APT::Sandbox::User=root download "$@"
)

# `modules ROOT TREE NAME...`: copy modules from the kernel package that is unpacked in ROOT into TREE, with a list in
# which each module comes after those that it needs.
modules() (
    root=$1
    into=$2/lib/modules
    shift 2
    mkdir -p "$into"
    for module in "$@"; do
        file=$into/$module.ko
        strip --strip-debug -o "$file" "$(find "$root/lib/modules" -name "$module.ko")"
        for needed in $(tr '\0' '\n' < "$file" | sed -n 's/^depends=//p' | tr ',' ' ') "$module"; do
            echo "$needed $module"
        done
    done | tsort > "$into/order"
)
