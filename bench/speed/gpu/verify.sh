#!/usr/bin/env bash
# Builds the CUDA backend, runs its tests on the GPU and measures it beside PyTorch: everything that a GPU is needed for,
# in one command and under nine minutes. Needs nvcc, CMake, ninja, a C++20 compiler, and a python3 with PyTorch, NumPy,
# pybind11 and safetensors; no network.
#
#   bench/speed/gpu/verify.sh [--smoke] [--emulate] [OUTPUT_FOLDER]
#
#   --smoke    build, tests and a few timings: under three minutes
#   --emulate  rehearsal without a GPU: kernels run in the emulator, numbers mean nothing
#
# Results go to OUTPUT_FOLDER ($OUT, else build/gpu/results): report.json, one log per phase and summary.txt, which is
# printed last. Each phase has a time limit of its own, so that a failure loses no other's results.
set -uo pipefail
cd "$(dirname "$0")/../../.."
root=$PWD

smoke=0 emulate=0 results=${OUT:-$root/build/gpu/results}
for argument in "$@"; do
    case $argument in
        --smoke) smoke=1 ;;
        --emulate) emulate=1 ;;
        -*) echo "usage: bench/speed/gpu/verify.sh [--smoke] [--emulate] [OUTPUT_FOLDER]" >&2; exit 2 ;;
        *) results=$argument ;;
    esac
done
mkdir -p "$results"
results=$(cd "$results" && pwd)
build=${SECOUSTI_GPU_BUILD:-$root/build/gpu/work}
mkdir -p "$build"
summary=$results/summary.txt
: >"$summary"
started=$SECONDS
failed=0

say() { echo "$*" | tee -a "$summary"; }

# phase NAME SECONDS COMMAND...: its output goes to NAME.log, the end of it to standard output if it fails.
phase() {
    local name=$1 limit=$2 begin=$SECONDS status
    shift 2
    timeout --kill-after=5 "$limit" "$@" >"$results/$name.log" 2>&1
    status=$?
    if [[ $status -eq 0 ]]; then
        say "ok      $name ($((SECONDS - begin)) s) $(tail -n 1 "$results/$name.log" | cut -c1-140)"
    else
        failed=1
        [[ $status -eq 124 || $status -eq 137 ]] && say "TIMEOUT $name after $limit s" || say "FAILED  $name ($((SECONDS - begin)) s, status $status)"
        tail -n 40 "$results/$name.log"
    fi
    return $status
}

if [[ $emulate -eq 1 ]]; then backend=EMULATED device=cuda; else backend=ON device=cuda; fi
jobs=$(nproc)
python=${PYTHON:-python3}

if [[ $emulate -eq 0 ]]; then
    phase device 20 nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem --format=csv,noheader
fi
options=(-S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSECOUSTI_CUDA=$backend -DSECOUSTI_BUILD_PYTHON=ON
    -DSECOUSTI_BUILD_EXAMPLES=OFF -DSECOUSTI_BUILD_SHARED=OFF "-DPython_EXECUTABLE=$(command -v "$python")")
[[ $emulate -eq 0 ]] && options+=(-DCMAKE_CUDA_ARCHITECTURES=90a-real)
# Without the Python part (pybind11 missing, say) tests and kernel times are still worth having.
phase configure 60 cmake "${options[@]}" ||
    phase configure_without_python 60 cmake "${options[@]}" -DSECOUSTI_BUILD_PYTHON=OFF || exit 1
tests=secousti_gpu_tests
[[ $emulate -eq 1 ]] && tests=secousti_simt_engine_tests
targets=(_core _kernels "$tests")
[[ $emulate -eq 0 ]] && targets+=(secousti_gpu_kernels secousti_bench_vocoders)
phase build 200 cmake --build "$build" --parallel "$jobs" --target "${targets[@]}" -- -k 0
grep -E "spill|Compiling entry|registers" "$results/build.log" >"$results/registers.txt" || true

# The package from the source tree, with the modules just built.
package=$build/python
mkdir -p "$package"
cp -r "$root/python/secousti_native" "$package/"
rm -f "$package"/secousti_native/_core.*.so "$package"/secousti_native/_kernels.*.so
cp "$build"/csrc/bindings/_core.*.so "$build"/csrc/bindings/_kernels.*.so "$package/secousti_native/"
export PYTHONPATH=$package PYTHONUNBUFFERED=1

program=$(find "$build/tests" -name "$tests" -type f | head -n 1)
models=$build/models
(
    # Stand-in weights, made while the tests run. A rehearsal takes the small default model.
    mkdir -p "$models"
    [[ $emulate -eq 1 ]] && cp "$root/python/secousti_native/assets/default_86.safetensors" "$models/86_hz.safetensors"
    [[ -f $models/86_hz.safetensors ]] || timeout 150 "$python" bench/speed/cpu/golden_models.py "$models"
) >"$results/models.log" 2>&1 &
making=$!
[[ -n $program ]] && phase tests $((emulate ? 900 : smoke ? 70 : 100)) "$program"
# The Python side's tests of streams and device arrays, where there is a pytest for them.
if "$python" -c "import hypothesis, pytest, soundfile, soxr" 2>/dev/null; then
    phase python_tests $((emulate ? 900 : 60)) env SECOUSTI_TEST_DEVICE=cuda "$python" -m pytest -q -p no:cacheprovider \
        tests/python/test_cuda.py tests/python/test_streams.py -k "cuda or chunks or interleaved or clone"
fi

# Single kernels beside their roofline bounds: its log is the table.
[[ $emulate -eq 0 ]] && phase kernels 30 "$build/tests/simt/secousti_gpu_kernels"
# Front end and vocoders alone, one JSON object a line.
[[ $emulate -eq 0 ]] && phase vocoders 40 "$build/tests/simt/secousti_bench_vocoders" $((smoke ? 10 : 60))

wait $making || say "FAILED  models: $(tail -n 1 "$results/models.log")"
arguments=("$models" --json "$results/report.json" --device "$device")
limit=240
[[ $smoke -eq 1 ]] && arguments+=(--smoke) && limit=60
[[ $emulate -eq 1 ]] && arguments+=(--rehearse) && limit=500
phase bench $limit "$python" bench/speed/gpu/bench.py "${arguments[@]}"

if [[ $smoke -eq 0 && $emulate -eq 0 && -n $program ]]; then
    # A short list, and last: kernels run up to a hundred times slower here.
    for check in memcheck racecheck initcheck; do
        phase "$check" 40 compute-sanitizer --tool "$check" --error-exitcode 9 "$program" \
            engine_encoder_gives engine_decoder_gives engine_decoder_with engine_decoder_conceals
    done
fi

say "seconds in all: $((SECONDS - started))"
echo
echo "=== results"
sed -n '/^=== table/,$p' "$results/bench.log"
for table in kernels vocoders; do [[ -f $results/$table.log ]] && cat "$results/$table.log"; done
cat "$summary"
exit $failed
