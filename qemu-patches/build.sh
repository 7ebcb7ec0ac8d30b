#!/usr/bin/env bash
# Builds a release of QEMU with (or without) its series, which is beside this file.
#
#   build.sh releases                        prints the releases, and which of Debian's suites has the source of each
#   build.sh recipe SERIES [RELEASE]         prints what identifies series, recipe and tools (needs no network)
#   build.sh version [RELEASE]               prints the version of the source that would be built
#   build.sh fetch DIRECTORY [RELEASE]       unpacks that source into a directory that is not there yet
#   build.sh build SERIES PREFIX [RELEASE]   builds PREFIX/qemu-system-x86_64, and its benchmarks beside it
#
# SERIES is a directory of patches, each sub-series in a directory of its own, or "none". RELEASE is the one that
# SERIES is called, or else 10.0. The source is Debian's source package of that release, fetched through apt
# directories of our own from the mirror that this machine's apt already uses; the system's apt configuration is not
# touched. FAKEDIRTY_QEMU_SOURCE names a source directory or tarball to use instead.
# FAKEDIRTY_STRIP=1 strips the binary, as distributions do. FAKEDIRTY_SANITIZE="asan ubsan", or "tsan", builds with
# these sanitizers of the compiler. FAKEDIRTY_TLS=1 builds with GnuTLS.
set -euo pipefail

# the release, and the suite of Debian that has it
releases=(
    "10.0 trixie"
    "10.2 sid"
)

here=$(dirname "$(realpath "$0")")
work=${FAKEDIRTY_WORK:-$(mktemp -d)}
trap '[[ -n ${FAKEDIRTY_WORK:-} ]] || rm -rf "$work"' EXIT

configure_options=(
    --target-list=x86_64-softmmu --without-default-features
    --enable-system --enable-kvm --enable-tcg --enable-pixman --enable-fdt=system
    --enable-trace-backends=dtrace,log
    --enable-zstd --disable-install-blobs --disable-docs
)

patches_of() { find "$1" -name '*.patch' ! -name '*-cover-letter.patch' | LC_ALL=C sort; }

say() { echo "qemu: $*" >&2; }
die() { say "$*"; exit 1; }

# grep reads to the end: a writer that it leaves alone fails, and the pipe with it
known() { printf '%s\n' "${releases[@]}" | grep "^${1//./\\.} " >/dev/null; }

choose() {  # sets release and suite, by what is given or by what the series is called
    release=${2:-$(basename "$1")}
    [[ -n ${2:-} ]] || known "$release" || release=10.0
    known "$release" || die "no series for QEMU '$release': there are $(
        printf '%s\n' "${releases[@]}" | cut -d' ' -f1 | paste -sd' ')"
    suite=$(printf '%s\n' "${releases[@]}" | awk -v release="$release" '$1 == release {print $2}')
}

apt_own() {  # an apt that sees the source packages of one suite of Debian, and nothing of the system's state
    local tool=$1; shift
    "$tool" -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$work/apt/state" -o Dir::State::lists="$work/apt/lists" \
        -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt/cache" \
        -o APT::Sandbox::User=root "$@"
}

apt_prepare() {
    [[ -e $work/apt/ready ]] && return
    mkdir -p "$work"/apt/{lists/partial,cache/archives/partial,state}
    : >"$work/apt/status"
    # $(...) below is apt's format language, not the shell's
    # shellcheck disable=SC2016
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
             awk '$2 == "bookworm" && !found++ {print $1}')
    [[ -n $mirror ]] || die "apt knows no Debian 12 mirror; run 'apt-get update' first"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
        >"$work/apt/sources.list"
    apt_own apt-get update -qq || die "cannot read the package lists of Debian's $suite"
    touch "$work/apt/ready"
}

package() {  # sets package_version: the newest of this release that the suite has; a suite moves on
    local versions
    apt_prepare
    versions=$(apt_own apt-cache showsrc --only-source qemu | awk '/^Version:/ {print $2}' | sort -V)
    package_version=$(grep -E "^([0-9]+:)?${release//./\\.}\\." <<<"$versions" | tail -n 1) ||
        die "Debian's $suite has no source of QEMU $release (any more), only ${versions//$'\n'/, }:" \
            "get that of $release.x, and name its directory or tarball in FAKEDIRTY_QEMU_SOURCE"
}

version() {
    if [[ -d ${FAKEDIRTY_QEMU_SOURCE:-} ]]; then
        # a tree being worked on: its version, and what was last touched in it
        echo "$(<"$FAKEDIRTY_QEMU_SOURCE/VERSION")-tree-$(
            find "$(realpath "$FAKEDIRTY_QEMU_SOURCE")" -name .git -prune -o -type f -printf '%p %T@\n' |
            sort | sha256sum | cut -c1-12)"
    elif [[ -n ${FAKEDIRTY_QEMU_SOURCE:-} ]]; then
        echo "tarball-$(sha256sum <"$FAKEDIRTY_QEMU_SOURCE" | cut -c1-12)"
    else
        package
        tr ':~' '__' <<<"$package_version"
    fi
}

recipe() {
    local series=$1
    {
        [[ $series == none ]] || patches_of "$series" | xargs cat
        cat "$here/build.sh"
        echo "$release ${FAKEDIRTY_STRIP:-} ${FAKEDIRTY_SANITIZE:-} ${FAKEDIRTY_TLS:-} $(dpkg --print-architecture) $(cc -dumpfullversion)"
        pkg-config --modversion libblake3 2>/dev/null || true
    } | sha256sum | cut -c1-16
}

fetch() {  # the pristine source into $work/source
    if [[ -d ${FAKEDIRTY_QEMU_SOURCE:-} ]]; then
        cp -a "$FAKEDIRTY_QEMU_SOURCE" "$work/source"
    elif [[ -n ${FAKEDIRTY_QEMU_SOURCE:-} ]]; then
        mkdir "$work/source"
        tar -C "$work/source" --strip-components=1 -xf "$FAKEDIRTY_QEMU_SOURCE"
    else
        package
        (cd "$work" && apt_own apt-get source -qq --download-only "qemu=$package_version" >/dev/null &&
         dpkg-source --no-check -x qemu_*.dsc source >/dev/null) || die "cannot fetch QEMU's source package"
    fi
}

build() {
    local series=$1 prefix=$2 patch check sanitizer jobs checks=() benchmarks=()
    jobs=$(nproc)
    say "fetching the source of QEMU $release"
    fetch
    if [[ $series != none ]]; then
        [[ $(<"$work/source/VERSION") == "$release".* ]] ||
            die "the source is of QEMU $(<"$work/source/VERSION"), the series for $release.x:" \
                "name another FAKEDIRTY_QEMU_SOURCE, or another release"
        while read -r patch; do
            patch -d "$work/source" -p1 --no-backup-if-mismatch -s <"$patch" ||
                die "${patch#"$series"/} does not apply"
        done < <(patches_of "$series")
        configure_options+=(--enable-xxhash --enable-murmurhash --enable-gcrypt)
        ! pkg-config --exists libblake3 || configure_options+=(--enable-blake3)  # Debian has none
        checks=(tests/unit/test-fake-dirty-hash tests/unit/test-fake-dirty-estimate)
        benchmarks=(tests/bench/benchmark-fake-dirty-hash)
        # a series without multifd has no step that channels share
        if [[ -e $work/source/tests/bench/benchmark-fake-dirty-step.c ]]; then
            checks+=(tests/unit/test-fake-dirty-record)
            benchmarks+=(tests/bench/benchmark-fake-dirty-step)
        fi
    fi
    for sanitizer in ${FAKEDIRTY_SANITIZE:-}; do
        configure_options+=("--enable-$sanitizer")
    done
    [[ -z ${FAKEDIRTY_TLS:-} ]] || configure_options+=(--enable-gnutls)
    say "preparing meson"
    /usr/bin/python3 -m venv "$work/venv"
    # QEMU's own wheels of both are not in a source tree that Debian has stripped
    "$work/venv/bin/pip" install -q 'meson==1.12.1' 'pycotap==1.3.1'
    mkdir "$work/build"
    cd "$work/build"
    say "configuring"
    "$work/source/configure" "${configure_options[@]}" --python="$work/venv/bin/python" >configure.log 2>&1 ||
        { tail -20 configure.log >&2; die "configure failed"; }
    say "compiling on $jobs cores (about 4 minutes on two)"
    ninja -j "$jobs" qemu-system-x86_64 "${checks[@]}" "${benchmarks[@]}" >ninja.log 2>&1 ||
        { grep -A20 FAILED ninja.log | sed -n 1,60p >&2 || true; die "the build failed"; }
    for check in "${checks[@]}"; do
        "$check" >check.log 2>&1 || { tail -20 check.log >&2; die "$check failed"; }
    done
    [[ -z ${FAKEDIRTY_STRIP:-} ]] || strip qemu-system-x86_64
    mkdir -p "$prefix"
    cp qemu-system-x86_64 "${benchmarks[@]}" "$prefix/"
    say "built $prefix/qemu-system-x86_64"
}

usage() { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }

case ${1:-} in
    releases) [[ $# == 1 ]] || usage; printf '%s\n' "${releases[@]}" ;;
    recipe) [[ $# == [23] ]] || usage; choose "$2" "${3:-}"; recipe "$2" ;;
    version) [[ $# == [12] ]] || usage; choose none "${2:-}"; version ;;
    fetch) [[ $# == [23] && ! -e $2 ]] || usage; choose none "${3:-}"; fetch; mv "$work/source" "$2" ;;
    build) [[ $# == [34] ]] || usage; choose "$2" "${4:-}"; build "$2" "$(realpath -m "$3")" ;;
    *) usage ;;
esac
