#!/usr/bin/env bash
# Installs into a temporary folder and builds tests/consumer/consumer.cpp against it as a stranger would: with pkg-config,
# and with CMake where there is one. usage: installed.sh SOURCE_ROOT BUILD_FOLDER COMPILER...
set -euo pipefail
root=$1
build=$2
shift 2
compiler=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
meson install -C "$build" --no-rebuild --destdir "$work/stage" --quiet
prefix=$(dirname "$(find "$work/stage" -path '*/include/demi' -type d)")
prefix=${prefix%/include}
pc=$(find "$prefix" -name demi.pc)
flags() { PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$prefix" "$@" demi; }
failed=0

run() {
    if LD_LIBRARY_PATH=$(dirname "$(dirname "$pc")")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$2" 2>&1 | sed 's/^/# /'; then
        echo "ok $1"
    else
        echo "not ok $1"
        failed=1
    fi
}

echo 1..2
read -ra cflags <<<"$(flags --cflags)"
read -ra libs <<<"$(flags --libs --static)"
"${compiler[@]}" -std=c++20 -O1 "${cflags[@]}" "$root/tests/consumer/consumer.cpp" "${libs[@]}" -o "$work/with_pkg_config"
run '1 - pkg-config' "$work/with_pkg_config"

if command -v cmake >/dev/null; then
    mkdir "$work/cmake"
    cp "$root/tests/consumer/consumer.cpp" "$root/tests/consumer/CMakeLists.txt" "$work/cmake/"
    cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="${compiler[-1]}" >"$work/log" 2>&1 &&
        cmake --build "$work/cmake/build" >>"$work/log" 2>&1 || cat "$work/log" >&2
    run '2 - find_package' "$work/cmake/build/consumer"
else
    echo 'ok 2 - find_package # SKIP no cmake'
fi
exit "$failed"
