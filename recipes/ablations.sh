#!/bin/bash
# What each part of the method does, at equal steps and a small size, on CPU cores.
#
#   recipes/ablations.sh CACHE RUNS [STEPS] [JOBS]     one process and core a run; `secousti train log RUNS/NAME` shows each
#
# `stages` shares the steps among its three stages.
set -euo pipefail
cache=$1 runs=$2 steps=${3:-600} jobs=${4:-$(nproc)}
export CUDA_VISIBLE_DEVICES="" OMP_NUM_THREADS=1
third=$((steps / 3))

train() { # name, steps, more options
    local name=$1 count=$2
    shift 2
    mkdir -p "$runs"
    "${PYTHON:-python3}" -c 'from secousti_native.training.cli import app; app()' run default_86_joint -o "$runs/$name" \
        --set data.cache="$cache" --set steps="$count" --set optimiser.decay=$((count / 3)) --set valid_every=$((count / 2)) \
        --set codec.dimension=128 --set codec.feedforward=512 --set codec.n_filters=64 \
        --set 'codec.layers={"acoustic":2,"semantic":2,"connector":1,"decoder":2}' \
        --set data.batch=8 --set data.crop=128 --set data.valid_utterances=12 --set 'data.source_weights={}' --set threads=1 \
        --set save_every=1000 --set optimiser.ema=0.99 --set optimiser.warmup=50 --set augment.chance=0.0 "$@" \
        > "$runs/$name.out" 2>&1
}

ablation() {
    case $1 in
        base) train base "$steps" ;;
        no_contrastive) train no_contrastive "$steps" --set losses.contrastive=0.0 ;;
        contrastive_strong) train contrastive_strong "$steps" --set losses.contrastive=0.05 ;;
        vae) train vae "$steps" --set quantiser.sample=true --set losses.kl_semantic=0.0001 --set losses.kl_start=0 \
            --set losses.kl_end=$third ;;
        vq) train vq "$steps" --set quantiser.kind=vq ;;
        no_fsq_regularisation) train no_fsq_regularisation "$steps" --set losses.fsq=0.0 --set losses.entropy=0.0 ;;
        adamw) train adamw "$steps" --set optimiser.muon=false ;;
        augmented) train augmented "$steps" --set augment.chance=0.5 ;;
        stages)
            train stages_1_acoustic $third --set stage=acoustic
            train stages_2_semantic $third --set stage=semantic --set init="$runs/stages_1_acoustic" --set losses.acoustic=1.0
            train stages_3_joint $third --set init="$runs/stages_2_semantic"
            ;;
        *) echo "no ablation named $1" >&2; return 1 ;;
    esac
}
if [ -n "${ABLATION:-}" ]; then
    ablation "$ABLATION"
    exit
fi
printf '%s\n' stages base vq no_contrastive contrastive_strong vae no_fsq_regularisation adamw augmented |
    xargs -P "$jobs" -I{} env ABLATION={} "$0" "$cache" "$runs" "$steps"
