#!/usr/bin/env bash
# Installs what is missing, builds everything, and runs every test; arguments go on to `meson test`.
#   bash tests/run.sh                  all
#   bash tests/run.sh --suite ops      one layer; `meson test -C build --list` names all
# The last line counts test cases. DEMI_SHARED names a folder with golden files and data sets; without it
# (and without a folder "shared" beside this one) the tests that need them are skipped.
set -euo pipefail
trap 'echo "0 passed, 1 failed, 0 skipped"' EXIT
source "$(dirname "${BASH_SOURCE[0]}")/support/prepare.sh"
if [ -z "${DEMI_SHARED:-}" ] && [ -d "$(dirname "$top")/shared" ]; then
    DEMI_SHARED=$(dirname "$top")/shared
fi
[ -z "${DEMI_SHARED:-}" ] || export DEMI_SHARED
prepare
trap - EXIT
status=0
meson test -C "$build" --no-rebuild --print-errorlogs "$@" || status=$?
python3 "$top/tests/support/summarize.py" "$build/meson-logs/testlog.json" "$status" || status=1
exit "$status"
