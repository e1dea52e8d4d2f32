#!/usr/bin/env bash
# Starts a test program on several ranks of this machine and passes its TAP on; skipped where there is no MPI.
# usage: launch.sh RANKS|none PROGRAM [ARGUMENT...]; with `none` the program runs without a launcher
set -uo pipefail
ranks=$1
shift
if [ "$ranks" != none ] && ! command -v mpirun >/dev/null; then
    echo 'ok 1 - several ranks # SKIP no mpirun (Debian: openmpi-bin)'
    echo 1..1
    exit 0
fi
[ "$ranks" != none ] || exec "$@"
root=()
[ "$(id -u)" != 0 ] || root=(--allow-run-as-root)
exec env DEMI_THREADS=1 mpirun "${root[@]}" --oversubscribe --bind-to none -np "$ranks" "$@"
