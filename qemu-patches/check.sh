#!/usr/bin/env bash
# Checks the series as QEMU's reviewers would: each patch by itself, then all of QEMU's own migration tests.
#
#   check.sh patches WORK    each patch: scripts/checkpatch.pl says nothing, it builds, and the short tests pass
#   check.sh suite WORK      the full tests: without the series, with it, and with a mode forced on every source
#
# WORK is a directory that keeps source, build and results (some 4 GiB, an hour or two on two cores). A suite
# that was interrupted goes on where it was. The source comes from where build.sh beside this file takes it.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
series=$here/10.0
firmware=(/usr/share/seabios /usr/share/qemu /usr/lib/ipxe/qemu)

say() { echo "qemu-check: $*"; }
die() { say "$*" >&2; exit 1; }

prepare() {  # WORK/source, a git tree of the unpatched source, and WORK/build, in which that was built
    [[ -x $work/unpatched/qemu-system-x86_64 ]] ||
        FAKEDIRTY_WORK=$work "$here/build.sh" build none "$work/unpatched"
    cd "$work/source"
    if [[ ! -d .git ]]; then
        git init -q
        git config user.name check
        git config user.email check@localhost
        git add -A --force
        git commit -qm "the source"
        git tag base
    fi
    git checkout -q --force --detach base
    mkdir -p "$work/build/qemu-bundle/usr/local/share/qemu"
    find "${firmware[@]}" -maxdepth 1 -type f,l -exec ln -sf -t "$work/build/qemu-bundle/usr/local/share/qemu" {} +
}

compile() {  # what the source at hand has of it
    local name targets=(qemu-system-x86_64 tests/qtest/migration-test)
    cd "$work/build"
    for name in xxhash murmurhash gcrypt; do
        ! grep -q "^option('$name'" "$work/source/meson_options.txt" ||
            pyvenv/bin/meson configure "-D$name=enabled" >/dev/null || die "meson knows no $name"
    done
    [[ ! -e $work/source/tests/unit/test-fake-dirty-hash.c ]] || targets+=(tests/unit/test-fake-dirty-hash)
    ninja "${targets[@]}" >ninja.log 2>&1 || { grep -A20 FAILED ninja.log | head -60 >&2; die "$1 does not build"; }
}

short_tests() {
    cd "$work/build"
    [[ ! -x tests/unit/test-fake-dirty-hash ]] || tests/unit/test-fake-dirty-hash >test.log 2>&1 ||
        { tail -20 test.log >&2; die "$1 fails its unit test"; }
    QTEST_QEMU_BINARY=./qemu-system-x86_64 tests/qtest/migration-test >test.log 2>&1 ||
        { tail -20 test.log >&2; die "$1 fails QEMU's migration tests"; }
}

patches() {
    local patch name said
    for patch in "$series"/*.patch; do
        name=$(basename "$patch")
        [[ $name == *-cover-letter.patch ]] && continue
        cd "$work/source"
        said=$(perl scripts/checkpatch.pl --no-tree "$patch" | grep -A3 -E '^(ERROR|WARNING)' || true)
        [[ -z $said ]] || die "$name: $said"
        git am -q "$patch" || die "$name does not apply"
        compile "$name"
        short_tests "$name"
        say "$name: clean, builds, passes"
    done
}

suite() {
    cd "$work/source"
    for patch in "$series"/*.patch; do
        [[ $patch == *-cover-letter.patch ]] || git am -q "$patch" || die "$(basename "$patch") does not apply"
    done
    compile "the series"
    "${PYTHON:-$here/../.venv/bin/python}" "$here/../tests/qemu/suite.py" \
        --tests "$work/build/tests/qtest/migration-test" --series "$work/build/qemu-system-x86_64" \
        --unpatched "$work/unpatched/qemu-system-x86_64" --results "$work/suite.jsonl"
}

[[ $# == 2 && $1 =~ ^(patches|suite)$ ]] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$2"
work=$(realpath "$2")
prepare
"$1"
