#!/bin/bash
# Trains both default models at once on a GPU, unattended, within a given time. ABLATION_STEPS=600 also
# runs recipes/ablations.sh on its CPU cores, which slows the models' own processes down. STAGE=decoder trains the decoder
# side alone, from what the package embeds, so that tokens stay what they are.
#
#   recipes/train_on_gpu.sh stage PARTS STORE        keeps the parts of recipes/pack_corpus.py that came with this transfer
#   recipes/train_on_gpu.sh train STORE OUT SECONDS  prepares, trains, exports; OUT gets files of at most 15 MB
#
# PARTS holds part-*.tar, wheels (*.whl) of packages that the machine lacks (soundfile, soxr, typer, rich, ...), and
# default_86.safetensors or default_21.safetensors to go on from, if any.
# Put the models together again with `cat default_86.safetensors.* > default_86.safetensors`, and default_86.pt, which
# `secousti train run` goes on from on any machine, likewise.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
action=$1

if [ "$action" = stage ]; then
    parts=$2 store=$3
    mkdir -p "$store/data" "$store/wheels"
    for part in "$parts"/part-*.tar; do [ -e "$part" ] && tar -xf "$part" -C "$store/data"; done
    cp "$parts"/*.whl "$store/wheels/" 2>/dev/null || true
    cp "$parts"/*.safetensors "$store/data/" 2>/dev/null || true
    du -sh "$store"
    exit 0
fi

store=$2 out=$3 seconds=$4
deadline=$((SECONDS + seconds))
mkdir -p "$out" "$store/site" "$store/package"
"$python" -m pip install -q --upgrade --no-index --no-deps --no-compile --target "$store/site" "$store"/wheels/*.whl
export PYTHONPATH="$store/package:$store/site" OMP_NUM_THREADS=1
# A copy of the package, so that a run never depends on a tree that changes under it.
cp -r "$repository/python/secousti_native" "$store/package/"
rm -f "$store"/package/secousti_native/*.so
{
    cmake -S "$repository" -B "$store/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSECOUSTI_BUILD_PYTHON=ON \
        -DSECOUSTI_BUILD_TESTS=OFF -DSECOUSTI_CUDA=OFF -DPython_EXECUTABLE="$(command -v "$python")" &&
        cmake --build "$store/build" && find "$store/build" -name '*.so' -exec cp {} "$store/package/secousti_native/" \;
} > "$out/build.log" 2>&1 || { tail -30 "$out/build.log"; exit 1; }
echo "built after ${SECONDS} s"

train() { "$python" -c 'from secousti_native.training.cli import app; app()' "$@"; }

for part in "$store"/data/part-*/; do
    name=$(basename "$part")
    "$python" - "$part/manifest.jsonl" "$name" <<'P'
import json, sys
for line in open(sys.argv[1], encoding="utf8"):
    entry = json.loads(line)
    entry["audio"] = f"{sys.argv[2]}/{entry['audio']}"
    print(json.dumps(entry, ensure_ascii=False))
P
done > "$store/data/manifest.jsonl"
# Voices that training never hears show how unheard ones fare (list_real_speech.py names them, and two of the synthesiser's).
held=$("$python" - "$store/data/manifest.jsonl" "$repository/recipes" <<'P'
import json, sys
sys.path.insert(0, sys.argv[2])
from list_real_speech import held_out
speakers = {json.loads(line)["speaker"] for line in open(sys.argv[1], encoding="utf8")}
print(" ".join(f"--hold-out {name}" for name in held_out(speakers)))
P
)
speeds=""
for speed in ${SPEEDS:-0.87 1.0 1.15}; do speeds="$speeds --speed $speed"; done
# shellcheck disable=SC2086
train prepare "$store/data/manifest.jsonl" -o "$store/cache" --jobs "$(env -u OMP_NUM_THREADS nproc)" --valid 0.02 --copies "${COPIES:-1}" $speeds $held
echo "prepared after ${SECONDS} s"

run() { # name, config, more options
    local name=$1 config=$2
    shift 2
    train run "$config" -o "$store/runs/$name" --set data.cache="$store/cache" "$@" > "$store/$name.out" 2>&1
}

# Two processes that launch small kernels share a GPU well only through the multi-process service; without it one model
# is trained after the other.
export CUDA_MPS_PIPE_DIRECTORY="$store/mps" CUDA_MPS_LOG_DIRECTORY="$store/mps-log"
mkdir -p "$store/mps" "$store/mps-log"
shared=1
if ! { command -v nvidia-cuda-mps-control && nvidia-cuda-mps-control -d &&
    timeout 30 "$python" -c 'import torch; print(torch.ones(2, device="cuda").sum())'; }; then
    echo quit | timeout 5 nvidia-cuda-mps-control || true
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    shared=0
    echo "no multi-process service"
fi
left=$((deadline - SECONDS - ${EXPORT_SECONDS:-50}))
model() { # name, seconds
    local start=()
    if [ -e "$store/data/$1.safetensors" ]; then start=(--set init="$store/data/$1.safetensors"); fi
    # shellcheck disable=SC2086
    run "$1" "$1_${STAGE:-joint}" --set hours="$("$python" -c "print($2 / 3600)")" --set threads=2 "${start[@]}" ${MODEL_SETTINGS:-}
}
pids=()
if [ $shared = 1 ]; then
    model default_86 $left & pids+=($!)
    model default_21 $left & pids+=($!)
else
    { model default_86 $((left / 2)); model default_21 $((left / 2 - 15)); } & pids+=($! $!)
fi
if [ "${ABLATION_STEPS:-0}" -gt 0 ]; then
    PYTHON=$python "$repository/recipes/ablations.sh" "$store/cache" "$store/runs/ablations" "$ABLATION_STEPS" 9 & pids+=($!)
fi
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
models_running() { kill -0 "${pids[0]}" 2>/dev/null || kill -0 "${pids[1]}" 2>/dev/null; }
while models_running && [ $SECONDS -lt $((deadline - 20)) ]; do
    sleep 5
    if [ $((SECONDS % 60)) -lt 5 ]; then for log in "$store"/runs/default_*/log.jsonl; do tail -n 1 "$log"; done | cut -c1-200 || true; fi
done
for name in default_86 default_21; do
    tail -n 3 "$store/$name.out"
    train export "$store/runs/$name" -o "$store/$name.safetensors" --name "${name/_/-}" ${EXPORT_OPTIONS:---newest} && split -b 15000000 -d -a 1 "$store/$name.safetensors" "$out/$name.safetensors."
    train hand-over "$store/runs/$name" -o "$store/$name.pt" --newest && split -b 15000000 -d -a 1 "$store/$name.pt" "$out/$name.pt."
done
tar -czf "$out/logs.tar.gz" -C "$store" $(cd "$store" && find . -name '*.out' -o -name log.jsonl -o -name config.json -o -name meta.json)
ls -la "$out"
echo "done after ${SECONDS} s"
