#!/usr/bin/env bash
# What linking demi costs: seconds to compile a file that includes what a trainer needs, and the size of the library.
# usage: tests/bench/footprint.sh [BUILD_FOLDER]     targets: below 3 s, below 5 MB
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${1:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
TIMEFORMAT=%U
best=
for _ in 1 2 3; do
    seconds=$({ time "${CXX:-c++}" -std=c++20 -O2 -I. -c tests/consumer/consumer.cpp -o "$work/consumer.o"; } 2>&1)
    if [ -z "$best" ] || awk "BEGIN{exit !($seconds < $best)}"; then best=$seconds; fi
done
printf '%-48s %8s s\n' 'compile a small trainer (-O2, best of 3)' "$best"
for lib in "$build"/libdemi.a "$build"/libdemi.so.*.*; do
    [ -f "$lib" ] || continue
    cp "$lib" "$work/lib"
    printf '%-48s %8.2f MB\n' "$(basename "$lib")" "$(awk "BEGIN{print $(stat -c %s "$lib") / 1e6}")"
    strip --strip-debug "$work/lib"
    printf '%-48s %8.2f MB\n' "$(basename "$lib"), without debug information" "$(awk "BEGIN{print $(stat -c %s "$work/lib") / 1e6}")"
done
