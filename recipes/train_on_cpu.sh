#!/bin/bash
# Trains the decoder side of a default model on, at the lowest priority, on one core: tokens stay what they are.
#
#   recipes/train_on_cpu.sh WORK [default_86|default_21] [OPTIONS OF secousti train run]
#
# Debian's speech is fetched and prepared in WORK first, with the shards of `secousti train synthesise` in WORK/shards if
# there are any. Ctrl-C or SIGTERM saves; the same command goes on. While a file WORK/pause exists, training stands still.
# To end a run, let the learning rate fall to zero: `--set steps=N` with N some 2,000 above the step it has reached.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1" && cd "$1"
work=$PWD model=${2:-default_86}
shift $(($# < 2 ? $# : 2))
export OMP_NUM_THREADS=1
program='from secousti_native.training.cli import app; app()'
train() { nice -n 19 "${PYTHON:-python3}" -c "$program" "$@"; }

if [ ! -e cache/meta.json ]; then
    mkdir -p debs unpacked
    (cd debs && apt-get download asterisk-core-sounds-{fr,it,ru}-g722 fillets-ng-data-{cs,nl} klettres-data hedgewars-data \
        tuxpaint-stamps-default festvox-ru ktuberling-data gcin-voice)
    for package in debs/*.deb; do dpkg -x "$package" unpacked; done
    "${PYTHON:-python3}" "$repository/recipes/list_real_speech.py" unpacked -o real.jsonl --held-out unheard.txt
    if [ -d shards ]; then train manifest --shards shards -o synthetic.jsonl; fi
    cat real.jsonl synthetic.jsonl > all.jsonl 2> /dev/null || cp real.jsonl all.jsonl
    # shellcheck disable=SC2046
    train prepare all.jsonl -o cache --valid 0.01 --copies 1 --jobs "${JOBS:-1}" \
        $(sed 's/^/--hold-out /' unheard.txt)
fi

nice -n 19 "${PYTHON:-python3}" -c "$program" run "${model}_decoder" -o "runs/$model" --set data.cache="$work/cache" "$@" &
child=$!
trap 'kill -CONT $child; kill $child' INT TERM
paused=0
while kill -0 $child 2> /dev/null; do
    if [ -e pause ] && [ $paused = 0 ]; then kill -STOP $child && paused=1; fi
    if [ ! -e pause ] && [ $paused = 1 ]; then kill -CONT $child && paused=0; fi
    sleep 1
done
wait $child || true
train export "runs/$model" -o "$model.safetensors" --name "${model/_/-}"
train hand-over "runs/$model" -o "$model.pt"
