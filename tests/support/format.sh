#!/usr/bin/env bash
# Checks the layout of every source against .clang-format; --fix rewrites. Releases differ, so only 14 (Debian 12) counts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tool=$(command -v clang-format-14 || command -v clang-format || true)
if [ -z "$tool" ] || ! "$tool" --version | grep -q 'version 14\.'; then
    echo 'skipped: clang-format 14 is not installed (apt-get install clang-format-14)'
    exit 77
fi
mapfile -t files < <(git ls-files -co --exclude-standard -- '*.h' '*.cpp' '*.cu' '*.cuh' 2>/dev/null)
if [ ${#files[@]} = 0 ]; then
    mapfile -t files < <(find runtime autograd ops models examples tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
fi
[ ${#files[@]} != 0 ] || exit 0
if [ "${1:-}" = --fix ]; then
    "$tool" -i "${files[@]}"
else
    wrong=$("$tool" --dry-run --Werror "${files[@]}" 2>&1 | grep 'error:' | cut -d: -f1 | sort | uniq -c || true)
    if [ -n "$wrong" ]; then
        printf '%s\nbash tests/support/format.sh --fix lays them out\n' "$wrong" >&2
        exit 1
    fi
fi
