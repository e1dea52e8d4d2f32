#!/usr/bin/env bash
# Which bits differ between two revisions: runs their bits programs on every instruction set of this processor, with 1 and
# 3 threads, and prints what differs as "set threads: op case old new" ("-": not there).
# usage: tests/bits/compare.sh OLD NEW [FLAGS OF bits...]        for example tests/bits/compare.sh ../old/build/tests/bits build/tests/bits
# OLD may also be the start of the names of kept outputs: OLD-v3-1.txt, ...
# Exit status: 0 all the same, 1 something differs, 2 a program could not be run.
set -uo pipefail
if [ $# -lt 2 ] || [ ! -x "$2" ]; then
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
fi
old=$1 new=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
differs=0
for isa in baseline v3 v4; do
    case $isa in v3) flag=avx2 ;; v4) flag=avx512bw ;; *) flag= ;; esac
    if [ -n "$flag" ] && ! grep -qw "$flag" /proc/cpuinfo; then
        echo "# $isa: not on this processor"
        continue
    fi
    for threads in 1 3; do
        export DEMI_ISA=$isa DEMI_THREADS=$threads
        if [ -x "$old" ]; then "$old" "$@" >"$work/old" & else cp "$old-$isa-$threads.txt" "$work/old" & fi
        "$new" "$@" >"$work/new" && wait $! || { echo "$isa $threads: a program failed" >&2; exit 2; }
        cmp -s "$work/old" "$work/new" && continue
        differs=1
        awk -v lead="$isa $threads: " 'NR == FNR { old[$1 " " $2] = $3; next }
            { key = $1 " " $2; if (!(key in old)) print lead key " - " $3; else if (old[key] != $3) print lead key " " old[key] " " $3; delete old[key] }
            END { for (key in old) print lead key " " old[key] " -" }' "$work/old" "$work/new" | sort
    done
done
[ $differs = 0 ] && echo 'the same bits'
exit $differs
