# Read by the recipes of guests that are made of Debian's packages. They are downloaded and unpacked, not installed.

# "linux-image-6.1.0-N-cloud-amd64=6.1.M-1": what the meta package stands for
kernel_package() {
    found=$(apt-cache show --no-all-versions linux-image-cloud-amd64 | sed -n 's/^Depends: \([^ ]*\) (= \(.*\))$/\1=\2/p')
    [ -n "$found" ] || { echo "no package linux-image-cloud-amd64 is known: run apt-get update" >&2; exit 1; }
    echo "$found"
}

# `download DIR PACKAGE=VERSION...`: their files in DIR
download() (
    cd "$1"
    shift
    apt-get -qq -o APT::Sandbox::User=root download "$@"
)

# `modules ROOT TREE NAME...`: in TREE, those modules of the kernel package that is unpacked in ROOT, and a list in which
# each comes after those that it names as needed
modules() (
    root=$1
    into=$2/lib/modules
    shift 2
    mkdir -p "$into"
    for module in "$@"; do
        file=$into/$module.ko
        strip --strip-debug -o "$file" "$root"/lib/modules/*/kernel/drivers/*/"$module.ko"
        for needed in $(tr '\0' '\n' < "$file" | sed -n 's/^depends=//p' | tr ',' ' ') "$module"; do
            echo "$needed $module"
        done
    done | tsort > "$into/order"
)
