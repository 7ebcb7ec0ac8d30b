#!/usr/bin/env bash
# Reserves COUNT more huge pages of 2 MiB, runs a command, and returns the pages to the kernel.
#
#   huge_pages.sh COUNT COMMAND...   exit status: that of the command; 1 if the kernel does not give the pages
#
# Pages that were free before are not used: they may be for others. HUGE_PAGES names another pool of the kernel.
set -euo pipefail

pool=${HUGE_PAGES:-/sys/kernel/mm/hugepages/hugepages-2048kB}
count=$1
shift

return_pages() { echo $(($(<"$pool/nr_hugepages") - added)) >"$pool/nr_hugepages"; }

reserve() {
    echo $((before + count)) >"$pool/nr_hugepages"
    added=$(($(<"$pool/nr_hugepages") - before))
}

[[ -e $pool ]] || { echo "this kernel has no huge pages in $pool" >&2; exit 1; }
before=$(<"$pool/nr_hugepages")
added=0
trap return_pages EXIT
reserve
if ((added < count)); then
    echo 3 >/proc/sys/vm/drop_caches  # cached files may fragment the memory
    reserve
fi
if ((added < count)); then
    echo "the kernel gives $added of $count huge pages of 2 MiB: memory is short, or fragmented" >&2
    exit 1
fi
status=0
"$@" || status=$?
exit $status
