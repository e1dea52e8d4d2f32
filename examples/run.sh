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
# A stopped run saves first: the launcher must not kill it after a second.
exec mpirun -q "${root[@]}" --oversubscribe --bind-to none --mca odls_base_sigkill_timeout 60 -np "$ranks" "$build/examples/train_vit" "$@"
