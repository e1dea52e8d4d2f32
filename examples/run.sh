#!/usr/bin/env bash
# Installs what is missing, builds, and trains: every argument goes on to build/examples/train_vit.
#   bash examples/run.sh                          a small vision transformer on pictures that the program draws
#   bash examples/run.sh --data DIR --epochs 5    on your own: CIFAR-10 binary, MNIST-style IDX, folders of PNG and JPEG
#   bash examples/run.sh --ranks 2 ...            the same on two ranks of this machine (MPI): the same bits with --shards 2
#   bash examples/run.sh --help                   all flags
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tests/support/prepare.sh"
build_once=yes
ranks=0
if [ "${1:-}" = --ranks ]; then
    ranks=${2:-}
    [[ $ranks =~ ^[1-9][0-9]*$ ]] || fail "--ranks takes a number: got '$ranks'"
    shift 2
    with_mpi=yes
    DEMI_BUILD_OPTIONS="${DEMI_BUILD_OPTIONS:-} -Dmpi=enabled"
fi
prepare examples/train_vit
[ "$ranks" != 0 ] || exec "$build/examples/train_vit" "$@"
root=()
[ "$(id -u)" != 0 ] || root=(--allow-run-as-root)
[ -t 1 ] || export TERM=dumb # the launcher gives each rank a terminal of its own
# In a process group of its own: asked to stop, the launcher would kill the ranks after a second. They are asked
# themselves, and save.
set -m
mpirun -q "${root[@]}" --oversubscribe --bind-to none -np "$ranks" "$build/examples/train_vit" "$@" </dev/null &
launcher=$!
ask() {
    local ranks
    ranks=$(cat /proc/$launcher/task/*/children 2>/dev/null) || true
    # shellcheck disable=SC2086
    kill "-$1" ${ranks:-$launcher} 2>/dev/null || true
}
for name in INT TERM HUP USR1; do
    # shellcheck disable=SC2064
    trap "ask $name" $name
done
status=0
while kill -0 $launcher 2>/dev/null; do # a signal ends `wait`, too
    wait $launcher && status=0 || status=$?
done
exit $status
