#!/usr/bin/env bash
# Adds the patch series beside this file to Debian's own source package of QEMU, and builds its packages.
#
#   debian.sh prepare TREE       adds series, build dependencies, options and a changelog entry to TREE
#   debian.sh build TREE [all]   builds what an x86 host needs (or, with "all", every target) beside TREE
#
# TREE is what `apt-get source qemu` unpacked. Preparing a tree twice does nothing; a tree that holds another
# version of the patch series is refused. FAKEDIRTY_SERIES names a patch series other than that of QEMU's version.
# The script installs nothing, and writes only in TREE and its parent directory.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
suffix=+fakedirty

say() { echo "debian: $*" >&2; }
die() { say "$*"; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is missing: apt-get install $2"; }

series_of() {  # the series for the tree's version of QEMU
    local series=${FAKEDIRTY_SERIES:-$here/$(cut -d. -f1,2 "$1/VERSION")}
    [[ -d $series && -n $(patches_of "$series") ]] ||
        die "no series for QEMU $(<"$1/VERSION"): $series has no patches"
    realpath "$series"
}

patches_of() { find "$1" -name '*.patch' ! -name '*-cover-letter.patch' | LC_ALL=C sort; }

sum_of() { patches_of "$1" | xargs cat | sha256sum | cut -c1-16; }

insert_once() {  # before each line equal to $2 in file $1, the text $3; the line has to be there once
    [[ $(grep -cxF -- "$2" "$1") == 1 ]] || die "$1 has changed: expected one line '$2'"
    awk -v anchor="$2" -v text="$3" '$0 == anchor {print text} {print}' "$1" >"$1.new"
    cat "$1.new" >"$1"
    rm "$1.new"
}

prepare() {
    local tree=$1 series sum file patch
    need dch devscripts
    need dpkg-source dpkg-dev
    series=$(series_of "$tree")
    sum=$(sum_of "$series")
    local own=$tree/debian/patches/fakedirty
    if [[ -e $own/.series ]]; then
        [[ $(<"$own/.series") == "$sum" ]] || die "$tree holds another version of the series: unpack a fresh one"
        say "$tree is prepared already"
        return
    fi
    [[ ! -e $own ]] || die "$tree was left half prepared: unpack a fresh one"
    mkdir "$own"
    while read -r patch; do
        file=${patch#"$series"/}
        mkdir -p "$own/$(dirname "$file")"
        cp "$patch" "$own/$file"
        echo "fakedirty/$file" >>"$tree/debian/patches/series"
    done < <(patches_of "$series")
    for file in control-in control; do
        # configure options are comments there; debian/rules reads them. eBPF probes need the dtrace backend.
        insert_once "$tree/debian/$file" '# --enable-zstd' \
            $'# --enable-xxhash\n libxxhash-dev,\n# --enable-murmurhash\n libmurmurhash-dev,
# --enable-trace-backends=dtrace,log\n systemtap-sdt-dev,'
    done
    # the microvm build starts without default features
    insert_once "$tree/debian/rules" $'\t\t${QEMU_MICROVM_CONFIGURE_OPTIONS}' \
        $'\t\t--enable-xxhash --enable-murmurhash --enable-trace-backends=dtrace,log \\\\'
    (cd "$tree" && dpkg-source --before-build .) || die "the series does not apply to $(<"$tree/VERSION")"
    (cd "$tree" && dch --local "$suffix" --distribution "$(dpkg-parsechangelog -S Distribution)" \
        "Add the fake dirty page series ($sum).")
    echo "$sum" >"$own/.series"
    say "prepared $(cd "$tree" && dpkg-parsechangelog -S Version)"
}

build() {
    local tree=$1 what=${2:-x86} other profiles=nocheck rules=debian/rules omitted=()
    [[ -e $tree/debian/patches/fakedirty/.series ]] || die "$tree is not prepared: run '$0 prepare $tree'"
    need dpkg-buildpackage dpkg-dev
    if [[ $what == x86 ]]; then
        # Debian knows profiles for leaving out user emulation and Xen; for leaving out other targets, only the
        # variables of its own makefiles.
        profiles+=,pkg.qemu.omit-user,pkg.qemu.omit-system-xen,pkg.qemu.use-upstream-vdso
        rules+=" system-packages=x86 enable-system=y"
        while read -r other; do
            omitted+=("-Nqemu-system-$other")
        done < <(sed -n 's/^system-packages := \([a-z]\)/\1/p' "$tree/debian/control.mk" | tr ' ' '\n' | grep -vx x86)
        [[ ${#omitted[@]} != 0 ]] || die "$tree/debian/control.mk has changed: it lists no system-packages"
        export DH_OPTIONS="${omitted[*]} -Nqemu-system"
        export QEMU_CONFIGURE_OPTIONS="--target-list=i386-softmmu,x86_64-softmmu ${QEMU_CONFIGURE_OPTIONS:-}"
    fi
    (cd "$tree" && dpkg-checkbuilddeps -B -P"$profiles") ||
        die "install them: (cd $tree && apt-get build-dep --arch-only -P $profiles .)"
    (cd "$tree" && dpkg-buildpackage -B -us -uc -P"$profiles" -R"$rules") || die "the build failed"
    say "built in $(dirname "$(realpath "$tree")"):"
    (cd "$tree/.." && ls -1 ./*"$suffix"*.deb) >&2
}

[[ $# -ge 2 && -e $2/debian/control.mk && -e $2/VERSION ]] ||
    { [[ $# -lt 2 ]] || say "$2 is no unpacked source package of QEMU"; sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
case $1-${3:-} in
    prepare-) prepare "$(realpath "$2")" ;;
    build-) build "$(realpath "$2")" ;;
    build-all) build "$(realpath "$2")" all ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
