#!/usr/bin/env bash
# Runs a command while the host has so many more free huge pages of 2 MiB, and gives them back after it.
#
#   huge_pages.sh COUNT COMMAND...   exit status: the command's; 1 where the kernel does not give them
#
# Those that were free before may be for others. HUGE_PAGES names another pool of the kernel's.
set -euo pipefail

pool=${HUGE_PAGES:-/sys/kernel/mm/hugepages/hugepages-2048kB}
count=$1
shift

give_back() { echo $(($(<"$pool/nr_hugepages") - got)) >"$pool/nr_hugepages"; }

take() {
    echo $((before + count)) >"$pool/nr_hugepages"
    got=$(($(<"$pool/nr_hugepages") - before))
}

[[ -e $pool ]] || { echo "this kernel has no huge pages in $pool" >&2; exit 1; }
before=$(<"$pool/nr_hugepages")
got=0
trap give_back EXIT
take
if ((got < count)); then
    echo 3 >/proc/sys/vm/drop_caches  # what the kernel keeps of files may lie in the way
    take
fi
if ((got < count)); then
    echo "the kernel gives $got of $count huge pages of 2 MiB: memory is short, or in pieces" >&2
    exit 1
fi
status=0
"$@" || status=$?
exit $status
