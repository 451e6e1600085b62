#!/bin/sh
# Builds the tests of the kernels and of their dispatch for AArch64 with a cross compiler, and nothing that they do not
# need, and runs them under qemu's user mode on a processor that has every extension.
# usage: tests/run_neon.sh [build folder] [test filter...]
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$source/build/neon}
[ $# -gt 0 ] && shift

for tool in aarch64-linux-gnu-g++ qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "run_neon.sh: $tool is not installed" >&2; exit 127; }
done

cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
    -DCMAKE_EXE_LINKER_FLAGS=-static -DSECOUSTI_BUILD_SHARED=OFF -DSECOUSTI_BUILD_EXAMPLES=OFF \
    -DSECOUSTI_BUILD_TESTS=ON -DSECOUSTI_CUDA=OFF
cmake --build "$build" --target secousti_kernel_tests --parallel 2
exec qemu-aarch64 -cpu max "$build/tests/cpp/secousti_kernel_tests" "$@"
