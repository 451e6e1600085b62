#!/usr/bin/env bash
# Builds a wheel for glibc 2.28 and later (manylinux_2_28) on any Linux, checks it and leaves it in the given folder
# (default: dist). Zig's Clang compiles against that glibc whatever the system has; its C++ library is linked in.
#
#   tools/build_wheel.sh [FOLDER]      with PYTHON (default: python3) as the interpreter whose wheel it is
#
# The tools come from tools/build-requirements.txt: exact versions, checked by hash.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(realpath -m "${1:-$root/dist}")
python=${PYTHON:-python3}
machine=$(uname -m)
glibc=2.28
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet --require-hashes -r "$root/tools/build-requirements.txt"
for name in cc c++; do
    printf '#!/bin/sh\nexec "%s" -m ziglang %s -target %s-linux-gnu.%s "$@"\n' \
        "$work/tools/bin/python" "$name" "$machine" "$glibc" >"$work/$name"
    chmod +x "$work/$name"
done

# What git knows, so that nothing of a working folder gets in. The date makes the same sources give the same files.
git -C "$root" archive HEAD | (mkdir "$work/source" && tar -x -C "$work/source")
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH CC="$work/cc" CXX="$work/c++" PATH="$work/tools/bin:$PATH"
"$work/tools/bin/pip" wheel --quiet --no-build-isolation --no-deps --wheel-dir "$work/raw" \
    -C cmake.define.SECOUSTI_CUDA=OFF -C cmake.define.CMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF \
    -C cmake.define.CMAKE_EXE_LINKER_FLAGS=-s \
    -C cmake.define.CMAKE_SHARED_LINKER_FLAGS=-s -C cmake.define.CMAKE_MODULE_LINKER_FLAGS=-s "$work/source"

mkdir -p "$out"
"$work/tools/bin/auditwheel" repair --plat "manylinux_${glibc/./_}_$machine" --wheel-dir "$out" "$work"/raw/*.whl
wheel=$(ls -t "$out"/secousti_native-*manylinux*"$machine".whl | head -n 1)
"$work/tools/bin/auditwheel" show "$wheel"
du -h "$wheel"

# The wheel alone, in an environment of its own.
"$python" -m venv "$work/clean"
"$work/clean/bin/pip" install --quiet "$wheel"
cd "$work"
"$work/clean/bin/secousti" roundtrip "$root/tests/data/speech.flac" -o roundtrip.wav -f
"$work/clean/bin/python" -c "
import importlib.metadata as m, json
text = m.distribution('secousti-native').read_text('sboms/secousti-native.cdx.json')
print('SBOM:', ', '.join(c['name'] + ' ' + c['version'] for c in json.loads(text)['components']))"
