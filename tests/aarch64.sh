#!/usr/bin/env bash
# Cross-builds the library for 64-bit ARM and runs its unit tests in an emulator; skipped without either package.
#   bash tests/aarch64.sh [BUILD_FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build-aarch64}
for program in aarch64-linux-gnu-g++ qemu-aarch64-static; do
    command -v "$program" >/dev/null && continue
    echo "no $program: apt-get install g++-aarch64-linux-gnu qemu-user-static"
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
done
[ -f "$build/build.ninja" ] || meson setup "$build" --cross-file tests/support/aarch64.ini -Dcuda=disabled -Dmpi=disabled -Dexamples=disabled
ninja -C "$build" tests/test_runtime tests/test_autograd tests/test_ops tests/test_models
status=0
DEMI_TEST_QUICK=1 meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier 20 --suite demi:runtime --suite demi:autograd \
    --suite demi:ops --suite demi:models || status=$?
python3 tests/support/summarize.py "$build/meson-logs/testlog.json" "$status"
