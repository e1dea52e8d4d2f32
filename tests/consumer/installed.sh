#!/usr/bin/env bash
# Installs into a temporary folder and builds tests/consumer/consumer.cpp against it as a stranger would: with pkg-config,
# and with CMake where there is one; and README.md's first example, whose loss must fall to a tenth.
# usage: installed.sh SOURCE_ROOT BUILD_FOLDER COMPILER...
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

echo 1..3
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

awk '/^```cpp$/ { inside = 1; next } /^```$/ && inside { exit } inside' "$root/README.md" >"$work/readme.cpp"
"${compiler[@]}" -std=c++20 -O1 "${cflags[@]}" "$work/readme.cpp" "${libs[@]}" -o "$work/readme"
cat >"$work/readme_trains" <<'END'
#!/usr/bin/env bash
set -o pipefail
"$(dirname "$0")/readme" | tee /dev/stderr | awk '$3 == "loss" { first = first ? first : $4; last = $4 } END { exit !(last < first / 10) }'
END
chmod +x "$work/readme_trains"
run '3 - the first example of README.md' "$work/readme_trains"
exit "$failed"
