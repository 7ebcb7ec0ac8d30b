#!/usr/bin/env bash
# Makes commits of the patch series, to work on them, and patches of the commits.
#
#   tree.sh open TREE [RELEASE]   makes TREE, a git repository: the source as tag `base`, a commit for each patch, and a
#                                 branch at the end of each sub-series. The last branch is checked out
#   tree.sh save TREE [RELEASE]   writes the patches of RELEASE again, from these branches
#
# RELEASE is QEMU's: 10.0 (the default) or 10.2. build.sh says where the source comes from. To change a patch in the
# middle, use `git commit --fixup=COMMIT` and `git rebase --interactive --autosquash --update-refs base`, which moves the
# branches too. `save` keeps the text of a cover letter, and makes its lists of patches and files anew.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
[[ $# == [23] && $1 =~ ^(open|save)$ ]] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
release=${3:-10.0}
series=$here/$release
die() { echo "tree: $*" >&2; exit 1; }
[[ -d $series ]] || die "no patch series for QEMU '$release'"
mapfile -t names < <(find "$series" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | LC_ALL=C sort)

open() {
    local tree=$1 name
    [[ ! -e $tree ]] || die "$tree is there already"
    "$here/build.sh" fetch "$tree" "$release"
    git -C "$tree" init -q --initial-branch=source
    git -C "$tree" config user.name "The fakedirty maintainers"
    git -C "$tree" config user.email maintainers@fakedirty.example
    git -C "$tree" add -A --force
    git -C "$tree" commit -qm "QEMU $(<"$tree/VERSION")"
    git -C "$tree" tag base
    for name in "${names[@]}"; do
        git -C "$tree" checkout -q -b "$name"
        find "$series/$name" -name '*.patch' ! -name '0000-*' | LC_ALL=C sort | xargs git -C "$tree" am -q
    done
}

write_cover() {  # COVER TREE RANGE COUNT: its text, and what there is between two sub-series
    local cover=$1 tree=$2 range=$3 count=$4 text
    text=$(sed '/^The fakedirty maintainers ([0-9]*):$/,$d' "$cover")
    {
        sed -E "s|^(Subject: \[PATCH )0+/[0-9]+\]|\1$(printf "%0${#count}d" 0)/$count]|" <<<"$text"
        echo
        git -C "$tree" shortlog -w72,2,4 "$range"
        git -C "$tree" diff --stat=72 --summary "${range/../...}"
        echo
    } >"$cover.new"
    mv "$cover.new" "$cover"
}

save() {
    local tree=$1 name before=base
    for name in "${names[@]}"; do
        [[ -n $(git -C "$tree" branch --list "$name") ]] || die "$tree has no branch $name"
        git -C "$tree" merge-base --is-ancestor "$before" "$name" || die "$name does not begin where $before ends"
        find "$series/$name" -name '*.patch' ! -name '0000-*' -delete
        git -C "$tree" format-patch -q --numbered --zero-commit --no-signature --abbrev=8 --output-directory "$series/$name" \
            "$before..$name"
        write_cover "$series/$name/0000-cover-letter.patch" "$tree" "$before..$name" \
            "$(git -C "$tree" rev-list --count "$before..$name")"
        before=$name
    done
}

"$1" "$(realpath -m "$2")"
