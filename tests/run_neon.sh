#!/bin/sh
# Builds the C++ tests for AArch64 with a cross compiler and runs those of the kernels under qemu's user mode,
# on a processor that has every extension.
# usage: tests/run_neon.sh [build folder] [test filter...]
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$source/build/neon}
[ $# -gt 0 ] && shift
files=
[ $# -gt 0 ] || { files='test_kernels|test_dispatch|test_precision' && set -- test_kernels test_dispatch; }

for tool in aarch64-linux-gnu-g++ qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "run_neon.sh: $tool is not installed" >&2; exit 127; }
done

cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
    -DCMAKE_EXE_LINKER_FLAGS=-static -DSECOUSTI_BUILD_SHARED=OFF -DSECOUSTI_BUILD_EXAMPLES=OFF \
    -DSECOUSTI_BUILD_TESTS=ON -DSECOUSTI_CUDA=OFF -DSECOUSTI_TEST_FILES="$files"
cmake --build "$build" --target secousti_tests --parallel 2
exec qemu-aarch64 -cpu max "$build/tests/cpp/secousti_tests" "$@"
