#!/usr/bin/env bash
# Installs what is missing, builds, and trains: every argument goes on to build/examples/train_vit.
#   bash examples/run.sh                          a small vision transformer on pictures that the program draws
#   bash examples/run.sh --data DIR --epochs 5    on your own: CIFAR-10 binary, MNIST-style IDX, folders of PNG and JPEG
#   bash examples/run.sh --help                   all flags
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tests/support/prepare.sh"
build_once=yes
prepare examples/train_vit
exec "$build/examples/train_vit" "$@"
