#!/usr/bin/env bash
# Everything that asks for a GPU, in under eight minutes and without a network:
#   bash tests/gpu/run.sh [--out DIR] [--include DIR]... [--golden DIR] [--jobs N]
# builds (in build-gpu/), runs the suite with the device on cuda, the conformance cases, the kernel tests under
# compute-sanitizer (memcheck, racecheck, initcheck), one training three times and once as a CUDA graph, which must agree
# bit for bit, and the benchmarks beside PyTorch. All output goes to DIR (gpu-report); the table comes last, on the terminal too.
# Needs nvcc, g++, Meson, ninja, Python with PyTorch. --include: folders with the headers of Eigen (Eigen/Core),
# doctest (doctest/doctest.h) and nlohmann-json (nlohmann/json.hpp) where the system has none. --golden: the folder
# of conformance cases, else $DEMI_SHARED/golden. Exit status 0 when nothing failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=gpu-report
golden=${DEMI_SHARED:+$DEMI_SHARED/golden}
jobs=$(nproc)
includes=()
while [ $# -gt 0 ]; do
    case $1 in
    --out) out=$2 ;;
    --include) includes+=("$2") ;;
    --golden) golden=$2 ;;
    --jobs) jobs=$2 ;;
    *)
        sed -n '2,10s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    esac
    shift 2
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
build=build-gpu
: >"$out/summary.txt"
failures=0
started=$SECONDS

note() { printf '%-44s %s\n' "$1" "$2" | tee -a "$out/summary.txt"; }

# step NAME LOG COMMAND...: one line in the summary; the log is a file.
step() {
    local name=$1 log=$out/$2 begin=$SECONDS status=0
    shift 2
    "$@" >"$log" 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        note "$name" "ok, $((SECONDS - begin)) s"
    else
        note "$name" "FAILED ($status), see $log"
        tail -n 15 "$log"
        failures=$((failures + 1))
    fi
    return "$status"
}

compile() {
    local folder
    for folder in "${includes[@]+"${includes[@]}"}"; do
        CPLUS_INCLUDE_PATH=$(cd "$folder" && pwd)${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}
    done
    export CPLUS_INCLUDE_PATH
    local arch
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. ')
    if [ ! -f "$build/build.ninja" ]; then
        meson setup "$build" -Dcuda=enabled -Dgpu_arch="${arch:-native}" -Dexamples=disabled || return 1
    fi
    ninja -C "$build" -j "$jobs" tests/test_runtime tests/test_ops tests/test_models tests/conformance tests/gpu_bench
}

# many NAME SECONDS COMMAND...: the command once for each word on standard input, which takes the place of {},
# several at a time: they wait for the GPU less than for the host. Each gets a log and the seconds; prints those
# that failed, slowest runs last.
many() {
    local name=$1 limit=$2
    shift 2
    rm -rf "${out:?}/$name"
    mkdir -p "$out/$name"
    export MANY_OUT=$out/$name MANY_LIMIT=$limit
    xargs -P "$(((jobs + 1) / 2))" -I{} bash -c 'begin=$SECONDS log=$MANY_OUT/$(tr -c "a-z0-9_\n" - <<<"$1").log code=0
        shift
        timeout "$MANY_LIMIT" "$@" >"$log" 2>&1 || code=$?
        printf "%s s, %s: %s\n" $((SECONDS - begin)) "$code" "$log" >>"$MANY_OUT/times.txt"' many {} "$@"
    sort -n "$MANY_OUT/times.txt" | tail -n 8
    local bad
    bad=$(grep -v ' s, 0: ' "$MANY_OUT/times.txt" | sed 's/.*: //')
    [ -z "$bad" ] || tail -n 12 $bad
    [ -z "$bad" ]
}

# A file of tests is a process; the long ones go first.
suite() {
    local file
    for file in tests/ops/{index_fuzz,linear,matmul}_test.cpp tests/{runtime,ops,models}/*_test.cpp; do
        file=${file#tests/}
        echo "${file%_test.cpp}"
    done | awk '!seen[$0]++' |
        DEMI_TEST_DEVICE=cuda DEMI_FUZZ_SECONDS=15 many suite 150 \
            bash -c '"$1/tests/test_${2%/*}" --source-file="*/${2}_test.cpp" --no-intro=true --duration=true' _ "$build" {}
}

# racecheck takes the longest, and goes first.
sanitizers() {
    local tool file status=0
    for tool in racecheck memcheck initcheck; do
        for file in attention_{edge,dropout,boundary} index index_select_cat scaled_index_add {row,optimizer}_kernels; do
            echo "$tool/$file"
        done
    done |
        DEMI_TEST_DEVICE=cuda DEMI_TEST_QUICK=1 many sanitizers 150 \
            bash -c 'compute-sanitizer --tool "${2%/*}" --error-exitcode 9 "$1/tests/test_ops" \
                --source-file="*/${2#*/}_test.cpp" --no-intro=true' _ "$build" {} || status=1
    for tool in racecheck memcheck initcheck; do
        echo "$tool: $(grep -lE 'SUMMARY: 0 (errors|hazards)' "$out/sanitizers/$tool"-*.log | wc -l) of 8 files without a finding"
    done
    return "$status"
}

three_trainings() {
    local i
    for i in 1 2 3; do "$build/tests/gpu_bench" train 30 >"$out/training-$i.txt" || return 1; done
    cat "$out/training-1.txt"
    cmp "$out/training-1.txt" "$out/training-2.txt" && cmp "$out/training-1.txt" "$out/training-3.txt"
}
as_a_graph() {
    "$build/tests/gpu_bench" train 30 graph >"$out/training-graph.txt" &&
        cmp "$out/training-1.txt" "$out/training-graph.txt"
}

command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
for tool in nvcc compute-sanitizer nvidia-smi g++ meson ninja python3; do
    command -v "$tool" >/dev/null || note "$tool" 'is not here'
done
if command -v nvidia-smi >/dev/null; then nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | tee "$out/gpu.txt"; fi
step 'build' build.log compile || exit 1
step 'suite on cuda' suite.log suite
if [ -n "$golden" ] && [ -d "$golden" ]; then
    step 'conformance on cuda' conformance.log "$build/tests/conformance" "$golden" --device cuda
    tail -n 1 "$out/conformance.log" | tee -a "$out/summary.txt"
else
    note 'conformance on cuda' 'SKIP: no cases (--golden DIR or DEMI_SHARED)'
fi
if command -v compute-sanitizer >/dev/null; then
    step 'memcheck, racecheck, initcheck' sanitizers.log sanitizers
    tee -a "$out/summary.txt" <"$out/sanitizers.log"
else
    note 'memcheck, racecheck, initcheck' 'SKIP: no compute-sanitizer'
fi
step 'three trainings, the same bits' training.log three_trainings
step 'the same training as a CUDA graph' graph.log as_a_graph
step 'benchmarks' bench.log "$build/tests/gpu_bench" bench "$out/bench.jsonl"
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    step 'benchmarks of PyTorch' torch.log python3 tests/gpu/torch_bench.py "$out/torch.jsonl"
else
    note 'benchmarks of PyTorch' 'SKIP: no PyTorch with CUDA'
fi
note 'all' "$((SECONDS - started)) s, $failures failed"
python3 tests/gpu/table.py "$out/bench.jsonl" "$out/torch.jsonl" | tee "$out/table.md"
[ "$failures" = 0 ]
