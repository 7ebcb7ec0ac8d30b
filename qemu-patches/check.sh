#!/usr/bin/env bash
# Checks the patch series as QEMU's reviewers would: each patch by itself, then all of QEMU's own migration tests.
#
#   check.sh patches WORK [RELEASE]   each patch: scripts/checkpatch.pl reports nothing, the patch builds, the short tests
#                                     pass; after the last patch of a sub-series also all tests that the patch series adds
#   check.sh suite WORK [RELEASE]     the full tests: those that the patch series adds, once; and QEMU's own, without the
#                                     patch series, with it, and with a mode forced on every source
#   check.sh builds WORK [RELEASE]    with libxxhash as the only library of hashes, and without any, after 5-switchover
#                                     and after the last patch: QEMU builds, starts, has the modes and hashes that it
#                                     should have, and passes the tests that the patch series adds
#   check.sh sanitizers WORK [RELEASE]
#                                     builds with ASan and UBSan, and with TSan, and runs the short tests and 60 random
#                                     migrations: ASan and UBSan report nothing that they do not report without the patch
#                                     series, and TSan reports nothing in its lines except the races of tests/qemu/races.txt
#
# RELEASE is QEMU's: 10.0 (the default) or 10.2. WORK is a directory for each release: it keeps source, build and results
# (some 5 GiB, three hours on two cores). If a check is interrupted, the next call continues it, for the very same
# patches. build.sh says where the source comes from. All builds except those of `builds` have TLS, which build.sh omits
# by default: without it QEMU omits its tests of TLS.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
release=${3:-10.0}
series=$here/$release
units=(tests/unit/test-fake-dirty-{hash,estimate,record})
huge_pages=64  # for one test: suite.py runs those that need some one after another
python=${PYTHON:-$here/../.venv/bin/python}
firmware=(/usr/share/seabios /usr/share/qemu /usr/lib/ipxe/qemu)

say() { echo "qemu-check: $*"; }
die() { say "$*" >&2; exit 1; }
[[ $# == [23] && $1 =~ ^(patches|suite|builds|sanitizers)$ ]] || { sed -n '2,20s/^# \{0,1\}//p' "$0" >&2; exit 2; }
"$here/build.sh" releases | grep "^${release//./\\.} " >/dev/null ||
    die "no series for QEMU '$release': there are $("$here/build.sh" releases | cut -d' ' -f1 | paste -sd' ')"
mapfile -t parts < <(find "$series" -name '*.patch' ! -name '*-cover-letter.patch' | LC_ALL=C sort)
sum=$(cat "${parts[@]}" | sha256sum | cut -c1-16)  # what results and builds belong to
((EUID == 0)) || die "needs root: the tests run in a mount namespace without /dev/kvm"

link_firmware() {  # BUILD: Debian's, where a QEMU that runs from its build directory looks for it
    mkdir -p "$1/qemu-bundle/usr/local/share/qemu"
    find "${firmware[@]}" -maxdepth 1 -type f,l -exec ln -sf -t "$1/qemu-bundle/usr/local/share/qemu" {} +
}

prepare() {  # WORK/source, a git tree of the unpatched source, and WORK/build, in which that was built
    if [[ ! -x $work/unpatched/qemu-system-x86_64 ]] || ! grep -qs "define CONFIG_GNUTLS" "$work/build/config-host.h"; then
        rm -rf "$work/source" "$work/build"  # of a run that was interrupted, or made without TLS
        FAKEDIRTY_TLS=1 FAKEDIRTY_WORK=$work "$here/build.sh" build none "$work/unpatched" "$release"
    fi
    cd "$work/source"
    [[ $(<VERSION) == "$release".* ]] ||
        die "$work has QEMU $(<VERSION), this is about $release: give each release a directory of its own"
    if [[ ! -d .git ]]; then
        git init -q
        git config user.name check
        git config user.email check@localhost
        git add -A --force
        git commit -qm "the source"
        git tag base
    fi
    rm -rf .git/rebase-apply
    link_firmware "$work/build"
}

without_patches() {  # the source, and a build that knows no option of a patch: meson remembers them, and refuses them
    git -C "$work/source" checkout -q --force --detach base
    sed -i -E '/^(xxhash|murmurhash|blake3) =/d' "$work/build/meson-private/cmd_line.txt"
}

with_series() {  # [SUB-SERIES]: the source with all of the series, or up to the end of that part of it
    local patch last=${1:-} tag=series-$sum${1:+-$1}
    git -C "$work/source" checkout -q --force --detach "$tag" 2>/dev/null && return
    without_patches
    for patch in "${parts[@]}"; do
        [[ -z $last || ! $(basename "$(dirname "$patch")") > $last ]] || break
        apply "$patch"
    done
    git -C "$work/source" tag "$tag"
}

compile() {  # WHAT: with all that the source at hand has of the series
    local name names=(xxhash murmurhash gcrypt)
    ! pkg-config --exists libblake3 || names+=(blake3)
    cd "$build"
    for name in "${names[@]}"; do
        ! grep -q "^option('$name'" "$work/source/meson_options.txt" ||
            pyvenv/bin/meson configure "-D$name=enabled" >/dev/null || die "meson knows no $name"
    done
    make_it "$1"
}

make_it() {  # WHAT: QEMU and its tests, as the build directory is configured
    local name targets=(qemu-system-x86_64 tests/qtest/migration-test)
    cd "$build"
    ninja build.ninja >ninja.log 2>&1 || { tail -20 ninja.log >&2; die "$1 cannot be configured"; }
    for name in "${units[@]}"; do
        [[ ! -e $work/source/$name.c ]] || targets+=("$name")
    done
    ninja "${targets[@]}" >ninja.log 2>&1 || { grep -A20 FAILED ninja.log | sed -n 1,60p >&2 || true; die "$1 does not build"; }
}

with_tcg() {  # the tests take KVM where there is one, and minutes each where it is emulated; some need huge pages
    touch "$work/no-kvm"
    "$here/../tests/qemu/huge_pages.sh" "$huge_pages" unshare --mount bash -c '
        [[ ! -e /dev/kvm ]] || { mount --bind "$0" /dev/kvm && mount -o remount,ro,bind /dev/kvm; } && exec "$@"
    ' "$work/no-kvm" "$@"
}

suite_of() {  # QEMU's tests on what was just built
    with_tcg "$python" "$here/../tests/qemu/suite.py" --skips "$here/../tests/qemu/skips.txt" \
        --tests "$build/tests/qtest/migration-test" --series "$build/qemu-system-x86_64" "$@"
}

unit_tests() {  # WHAT: those that were just built
    cd "$build"
    local unit
    for unit in "${units[@]}"; do
        [[ ! -e $work/source/$unit.c ]] || "$unit" >test.log 2>&1 ||
            { tail -20 test.log >&2; die "$1 fails $unit"; }
    done
}

short_tests() {
    unit_tests "$1"
    rm -f test.jsonl
    suite_of --results test.jsonl >test.log 2>&1 || { tail -40 test.log >&2; die "$1 fails QEMU's migration tests"; }
}

names() {  # of the tests that the program at hand has, the full ones and those that need KVM included
    QTEST_QEMU_BINARY=$1 "$build/tests/qtest/migration-test" --full -m slow -l | sed -n '\#^/#p'
}

series_tests() {  # WHAT: the tests that QEMU has by what was just built alone, the full ones included
    local of status=0
    of=$work/series-$(git -C "$work/source" rev-parse --short=16 "HEAD^{tree}")${build#"$work/build"}
    names "$build/qemu-system-x86_64" | grep -vxFf "$work/own/names" >"$of.tests" || die "$1 brings no test"
    suite_of --full --only "$of.tests" --results "$of.jsonl" >"$of.log" 2>&1 || status=$?
    ((status == 0)) || { tail -40 "$of.log" >&2; die "$1 fails tests of the series: $of.log"; }
    say "$1: of $(wc -l <"$of.tests") full tests of the series $(grep -c '"result": "passed"' "$of.jsonl") pass"
    sed -n 's/^skipped: /    skipped: /p' "$of.log"
}

apply() { git -C "$work/source" am -q "$1" || die "${1#"$series"/} does not apply"; }

patches() {
    local number patch name said mark so_far=
    own_tests
    without_patches
    for number in "${!parts[@]}"; do
        patch=${parts[number]}
        name=${patch#"$series"/}
        apply "$patch"
        so_far=$(cat - "$patch" <<<"$so_far" | sha256sum | cut -c1-16)
        mark=$so_far
        [[ $(dirname "${parts[number + 1]:-}") == "$(dirname "$patch")" ]] || mark+=" full"  # the sub-series ends here
        if grep -qsx "$mark" "$work/checked"; then
            say "$name: checked before"
            continue
        fi
        said=$(cd "$work/source" && perl scripts/checkpatch.pl --no-tree "$patch" | grep -A3 -E '^(ERROR|WARNING)' || true)
        [[ -z $said ]] || die "$name: $said"
        compile "$name"
        short_tests "$name"
        [[ $mark == "$so_far" ]] || series_tests "$name"
        echo "$mark" >>"$work/checked"
        say "$name: clean, builds, passes"
    done
}

own_tests() {  # the names of those that QEMU has without the series, in WORK/own/names, and that QEMU beside them
    [[ ! -e $work/own/names ]] || return 0
    without_patches
    compile "QEMU without the series"
    mkdir -p "$work/own"
    cp "$build/qemu-system-x86_64" "$work/own/"
    names "$work/own/qemu-system-x86_64" >"$work/own/names.new"
    mv "$work/own/names.new" "$work/own/names"
}

suite() {
    own_tests
    with_series
    compile "the series"
    series_tests "the series"
    suite_of --unpatched "$work/own/qemu-system-x86_64" --only "$work/own/names" \
        --results "$work/suite-$sum.jsonl"
}

configured() {  # LIBRARY|none: a build directory with that library of hashes and no other; TLS would bring some
    build=$work/build-$1
    mkdir -p "$build"
    cd "$build"
    if [[ ! -e build.ninja ]]; then
        "$work/build/config.status" --disable-gnutls --disable-gcrypt --disable-xxhash >configure.log 2>&1 ||
            { tail -20 configure.log >&2; die "configure fails without libraries of hashes"; }
    fi
    [[ $1 == none ]] || pyvenv/bin/meson configure "-D$1=enabled" >/dev/null || die "meson knows no $1"
    link_firmware "$build"
}

check_build() {  # WHAT DEFINES ABILITIES: the build directory at hand has these libraries, and its QEMU these abilities
    local has libraries='XXHASH|MURMURHASH|BLAKE3|GCRYPT|GNUTLS|NETTLE'
    make_it "$1"
    has=$(sed -En "s/^#define CONFIG_($libraries)\$/\1/p" config-host.h | paste -sd' ')
    [[ $has == "$2" ]] || die "$1: it was configured with '$has', and not with '$2'"
    has=$("$python" "$here/../tests/qemu/abilities.py" "$build/qemu-system-x86_64" | paste -sd';')
    [[ $has == "$3" ]] || die "$1: QEMU has '$has', and not '$3'"
    unit_tests "$1"
    series_tests "$1"
}

builds() {
    local part modes="fake-dirty-mode: off observe skip" hashes
    local -a all=("${units[@]}")
    own_tests
    for part in 5-switchover ""; do
        with_series "$part"
        units=(tests/unit/test-fake-dirty-estimate)  # the others take a hash
        configured none
        check_build "${part:-the series} without hashes" "" "fake-dirty-mode: off;fake-dirty-hash: absent"
        units=("${all[@]}")
        hashes=absent  # one, and none to choose from
        [[ -n $part ]] || hashes="xxh3-64 xxh3-128 sha1 md5 crc32"
        configured xxhash
        check_build "${part:-the series} with libxxhash alone" XXHASH "$modes;fake-dirty-hash: $hashes"
    done
}

sanitized() {  # SANITIZERS SERIES PLACE: what they report of QEMU's tests, and of random migrations, into PLACE/reports
    local sanitizers=$1 of=$2 place=$3 options
    if [[ ! -e $place/built ]]; then
        rm -rf "$place"
        mkdir -p "$place/reports"
        FAKEDIRTY_TLS=1 FAKEDIRTY_WORK=$place FAKEDIRTY_SANITIZE=$sanitizers "$here/build.sh" build "$of" "$place" "$release"
        ninja -C "$place/build" tests/qtest/migration-test >"$place/build/ninja.log" 2>&1 ||
            die "QEMU and its tests do not build with $sanitizers"
        link_firmware "$place/build"
        touch "$place/built"
    fi
    options=log_path=$place/reports/report:exitcode=0:print_stacktrace=1
    local -x ASAN_OPTIONS=$options UBSAN_OPTIONS=$options TSAN_OPTIONS=$options:halt_on_error=0:die_after_fork=0
    local calls='' few=() guests=()
    if [[ $sanitizers == tsan ]]; then
        # TCG translates what writes beside its own code again and again, as the guest of QEMU's tests does. TSan keeps a
        # stack for each translation, for good: 23 GiB in 80 s. With several vCPUs of TCG its stacks overflow, and it stops;
        # with several of KVM it holds back the signal that wakes one which waits. Tests without a guest write to memory
        # themselves, 8 MiB by one memmove(), each word of which races with the migration thread, as it may.
        few=(--idle --workers 4)
        calls=:ignore_interceptors_accesses=1
        guests=(--vcpus 1)
    fi
    TSAN_OPTIONS=$TSAN_OPTIONS$calls with_tcg "$python" "$here/../tests/qemu/suite.py" \
        --skips "$here/../tests/qemu/skips.txt" \
        --tests "$place/build/tests/qtest/migration-test" --series "$place/qemu-system-x86_64" \
        "${few[@]}" --results "$place/tests.jsonl" >"$place/tests.log" 2>&1 ||
        wrong+=("QEMU's tests: $place/tests.log")
    [[ $of == none || -e $place/fuzzed ]] && return
    if "$(dirname "$python")/fakedirty" fuzz --runs 60 --seed 16 "${guests[@]}" \
        --qemu "$place/qemu-system-x86_64" >"$place/fuzz.log" 2>&1; then
        touch "$place/fuzzed"
    else
        wrong+=("random migrations: $place/fuzz.log")
    fi
}

new_reports() {  # DIRECTORY [DIRECTORY] [OPTION...]: into the file new; whether there are any
    local status=0
    "$python" "$here/../tests/qemu/reports.py" "$@" >"$place/new" || status=$?
    ((status == 0 || status == 3)) || die "the reports cannot be read"
    ((status == 3))
}

changed_lines() {  # of the series, against the source that it is for, into the file changed
    local status=0
    [[ -d $place/source ]] || "$here/build.sh" fetch "$place/source" "$release"
    diff -rNU0 "$place/source" "$place/series-$sum/source" >"$place/changed.all" || status=$?
    ((status == 1)) || die "the sources cannot be compared"
    sed "s|^+++ $place/series-$sum/source/|+++ b/|" "$place/changed.all" >"$place/changed"
}

sanitizers() {
    local kind place
    wrong=()
    for kind in "asan ubsan" tsan; do
        place=$work/${kind%% *}
        sanitized "$kind" "$series" "$place/series-$sum"
        # without reports there is nothing to compare
        if ! new_reports "$place/series-$sum/reports"; then
            say "$kind: no report"
            continue
        fi
        local -a beside=()
        if [[ $kind == tsan ]]; then
            # QEMU has races of its own all over, other ones in each run: what counts is where they are
            changed_lines
            beside=(--changed "$place/changed" --known "$here/../tests/qemu/races.txt")
        else
            sanitized "$kind" none "$place/unpatched"
            beside=("$place/unpatched/reports")
        fi
        ! new_reports "$place/series-$sum/reports" "${beside[@]}" || wrong+=("reports: $place/new")
        say "$kind: $(head -n 1 "$place/new")"
    done
    [[ -z ${wrong[*]} ]] || die "$(printf '%s\n' "not as it must be:" "${wrong[@]}")"
}

mkdir -p "$2"
work=$(realpath "$2")
build=$work/build  # what is at hand: `builds` has others
[[ $1 == sanitizers ]] || prepare
"$1"
exit 0
