#!/usr/bin/env bash
# Which bits differ between two revisions: runs the bits programs of both on every instruction set of this
# processor, with 1 and 3 threads. Prints "set threads: op case old new" for what differs ("-": not there).
#     tests/bits/compare.sh OLD NEW [flags of bits...]     OLD, NEW: BUILD/tests/bits of each revision
# OLD may also be the start of the names of kept outputs: OLD-v3-1.txt and so on, made with the same flags.
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
same=0
for isa in baseline v3 v4; do
    case $isa in v3) needs=avx2 ;; v4) needs=avx512bw ;; *) needs= ;; esac
    if [ -n "$needs" ] && ! grep -qw "$needs" /proc/cpuinfo; then
        echo "# $isa: not on this processor"
        continue
    fi
    for threads in 1 3; do
        export DEMI_ISA=$isa DEMI_THREADS=$threads
        if [ -x "$old" ]; then
            "$old" "$@" >"$work/old" &
        else
            cat "$old-$isa-$threads.txt" >"$work/old" &
        fi
        if ! "$new" "$@" >"$work/new" || ! wait $!; then
            echo "compare.sh: a program failed ($isa, $threads threads)" >&2
            exit 2
        fi
        cmp -s "$work/old" "$work/new" && continue
        same=1
        awk -v lead="$isa $threads: " '
            NR == FNR { old[$1 " " $2] = $3; next }
            { key = $1 " " $2; was = key in old ? old[key] : "-"; delete old[key] }
            was != $3 { print lead key " " was " " $3 }
            END { for (key in old) print lead key " " old[key] " -" }' "$work/old" "$work/new" | LC_ALL=C sort
    done
done
[ $same = 0 ] && echo 'the same bits'
exit $same
