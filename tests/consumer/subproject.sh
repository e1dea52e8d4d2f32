#!/usr/bin/env bash
# A project that has this one in its subprojects/ folder: configures, builds and runs it. Compiles the whole library.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/subprojects"
ln -s "$root" "$work/subprojects/demi"
cp "$root/tests/consumer/consumer.cpp" "$work/"
cp "$root/tests/consumer/meson.build.in" "$work/meson.build"
# Not through ccache, and so with precompiled headers: as on a machine that has no ccache.
CXX=${CXX:-c++} meson setup "$work/build" "$work" -Ddemi:cuda=disabled
meson test -C "$work/build" --print-errorlogs
