# Sourced by examples/run.sh and tests/run.sh: installs what is missing, configures build/ and compiles.
# DEMI_BUILD_OPTIONS holds further Meson options, for example "-Dcuda=enabled".

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$top/build

say() { printf '==> %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# One line per Debian package whose program or header is not here.
missing_packages() {
    local compiler=${CXX:-}
    if [ -z "$compiler" ]; then
        for c in c++ g++ clang++; do
            if command -v "$c" >/dev/null; then
                compiler=$c
                break
            fi
        done
    fi
    [ -n "$compiler" ] || echo g++
    command -v meson >/dev/null || echo meson
    command -v ninja >/dev/null || command -v ninja-build >/dev/null || echo ninja-build
    command -v pkg-config >/dev/null || echo pkg-config
    [ -z "${with_mpi:-}" ] || command -v mpirun >/dev/null || echo openmpi-bin
    [ -z "${with_mpi:-}" ] || command -v mpicxx >/dev/null || echo libopenmpi-dev
    local pairs='libeigen3-dev:eigen3/Eigen/Core:Eigen/Core doctest-dev:doctest/doctest.h
        nlohmann-json3-dev:nlohmann/json.hpp libcli11-dev:CLI/CLI.hpp zlib1g-dev:zlib.h libpng-dev:png.h
        libjpeg62-turbo-dev:jpeglib.h libwebp-dev:webp/decode.h libtiff-dev:tiffio.h libstb-dev:stb/stb_image.h'
    local pair package headers test
    for pair in $pairs; do
        package=${pair%%:*}
        headers=${pair#*:}
        if [ -z "$compiler" ]; then
            echo "$package"
            continue
        fi
        test="__has_include(<${headers//:/>) || __has_include(<}>)"
        printf '#if !(%s)\n#error missing\n#endif\n' "$test" |
            $compiler -std=c++17 -E -x c++ - >/dev/null 2>&1 || echo "$package"
    done
}

install_missing() {
    local packages
    packages=$(missing_packages | tr '\n' ' ')
    packages=${packages% }
    [ -n "$packages" ] || return 0
    local command="apt-get install -y --no-install-recommends $packages"
    command -v apt-get >/dev/null ||
        fail "needed and not found (Debian names): $packages. There is no apt-get here: please install them."
    local root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            fail "needed and not installed: $packages. You are neither root nor have sudo; as root run: apt-get update && $command"
        root=(sudo)
        [ -t 0 ] || root=(sudo -n)
    fi
    say "installing what is missing: $packages"
    # Stale package lists may still do, so a failing update is not the end.
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq || say 'apt-get update failed; trying with the lists at hand'
    # shellcheck disable=SC2086
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive $command ||
        fail "could not install: $packages. As root run: apt-get update && $command"
}

# Keeps the folder of an earlier run; one that was configured with other options is made anew.
configure() {
    local wanted="$*" stamp=$build/.run-options
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" != "$wanted" ]; then
        say "options changed from '$(cat "$stamp")' to '$wanted': building anew"
        rm -rf "$build"
    fi
    if [ ! -f "$build/build.ninja" ]; then
        say "configuring build/ (${wanted:-default options})"
        local log plain=()
        # Precompiled headers do more for a first build than ccache, and ccache keeps nothing that was made with them.
        [ -z "${build_once:-}" ] || [ -n "${CXX:-}" ] || ! command -v c++ >/dev/null || plain=(env CXX=c++)
        log=$(cd "$top" && "${plain[@]}" meson setup build "$@" 2>&1) || {
            printf '%s\n' "$log" | tail -n 15 >&2
            fail 'meson setup failed'
        }
        printf '%s\n' "$log" | sed -n 's/^ *CUDA, why *: /    CUDA: /p'
    fi
    [ -w "$build" ] || fail "build/ belongs to another user: remove it or run as $(stat -c %U "$build")"
    printf '%s\n' "$wanted" >"$stamp"
}

# Compiles the given targets (all without any); in a pipe it keeps the compiler's lines in a log.
compile() {
    local ninja=ninja start=$SECONDS log=$build/run-compile.log
    command -v ninja >/dev/null || ninja=ninja-build
    say "compiling with $(nproc) jobs"
    if [ -t 1 ]; then
        "$ninja" -C "$build" "$@" || fail 'the build failed, see above'
    else
        "$ninja" -C "$build" "$@" >"$log" 2>&1 || {
            grep -vE '^\[[0-9]+/[0-9]+\] (Compiling|Linking|Generating)' "$log" | head -n 60 >&2
            fail "the build failed; the whole log is $log"
        }
    fi
    say "compiled in $((SECONDS - start)) s"
}

# CUDA kernels take minutes to compile: not where nothing can run them, unless they were asked for.
gpu_options() {
    case " ${DEMI_BUILD_OPTIONS:-} " in *' -Dcuda='*) return ;; esac
    [ -e /dev/nvidiactl ] || [ -e /dev/dxg ] || [ -e /dev/nvhost-ctrl ] || echo -Dcuda=disabled
}

prepare() {
    install_missing
    # shellcheck disable=SC2046,SC2086
    configure -Dexamples=enabled $(gpu_options) ${DEMI_BUILD_OPTIONS:-}
    compile "$@"
}
