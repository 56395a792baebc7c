#!/usr/bin/env bash
# make bench: our figures beside the peers', each pair measured in one run on this machine, both warmed.
# The peers (torch, transformers, peft, gguf) live in a virtual environment of their own outside the tree: PEERS=DIR, made here
# when it is missing. One table on stdout; the same rows are added to tests/bench/results/DATE-MACHINE.csv.
# usage: bench.sh BUILD FETCHED
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1 model=$2/SmolLM2-135M-Instruct.Q4_1.gguf
peers=${PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/coador/peers}
# Some set-ups pin OpenBLAS to a slow kernel: not for timings.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ ! -x "$peers/bin/python" ]; then
    echo "making the peers' environment in $peers (about 6 GB)" >&2
    python3 -m venv "$peers"
    "$peers/bin/pip" install -q torch==2.15.0 transformers==5.23.0 peft==0.21.2 gguf safetensors tokenizers
fi

machine=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
csv=$here/results/$(date +%F)-$(echo "$machine" | tr -cs 'A-Za-z0-9' - | sed 's/-$//').csv
mkdir -p "$here/results"
[ -f "$csv" ] || echo "date,machine,threads,load,work,unit,ours_median,ours_best,peer,peer_median,peer_best,ratio_of_medians" >"$csv"

row() { # row WORK UNIT OURS_MEDIAN OURS_BEST PEER PEER_MEDIAN PEER_BEST HIGHER_IS_BETTER
    awk -v OFS=, -v d="$(date +%F)" -v m="$machine" -v t="$OMP_NUM_THREADS" -v l="$load" -v csv="$csv" -v w="$1" -v u="$2" -v a="$3" -v ab="$4" -v p="$5" -v b="$6" -v bb="$7" -v up="$8" 'BEGIN {
        r = up ? a / b : b / a
        printf "%-44s %10s (best %s) %s   %s: %s (best %s)   %.2f x\n", w, a, ab, u, p, b, bb, r
        print d, "\"" m "\"", t, l, "\"" w "\"", u, a, ab, "\"" p "\"", b, bb, sprintf("%.3f", r) >>csv
    }'
}

median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
best() { sort -g | tail -1; }

# Training: steps of 4 rows of 256 tokens of English, all trained, r 16 on all linears; the first step warms up.
training() { # training NAME DROPOUT
    "$peers/bin/python" "$here/train_peer.py" rows "$model" 28 >"$work/rows.jsonl"
    "$build/bin/coador" lora-train --model "$model" --rank 16 --alpha 64 --dropout "$2" --batch 4 --accumulation 1 --set logging_steps=1 \
        --no-shuffle --epochs 1 --lr 1e-4 --overwrite -o "$work/adapter" "$work/rows.jsonl" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
    jq -r 'select(.step > 1) | .tok_s' "$work/adapter/metrics.jsonl" >"$work/ours"
    "$peers/bin/python" "$here/train_peer.py" train "$model" "$work/rows.jsonl" "$2" >"$work/peer.json" 2>"$work/said.peer" || { cat "$work/said.peer" >&2; exit 1; }
    jq -r '.tok_s[]' "$work/peer.json" >"$work/theirs"
    row "$1" tokens/s "$(median <"$work/ours")" "$(best <"$work/ours")" "transformers + PEFT fp32" "$(median <"$work/theirs")" "$(best <"$work/theirs")" 1
    row "$1, peak memory" MiB "$(sed -n 's/.*peak memory \([0-9]*\) MiB.*/\1/p' "$work/said")" - "transformers + PEFT fp32" "$(jq .peak_mib "$work/peer.json")" - 0
}

load=$(cut -d' ' -f1 /proc/loadavg)
echo "$machine, $OMP_NUM_THREADS threads, load $load at the start"
training "training 4 x 256, dropout 0" 0
training "training 4 x 256, dropout 0.1" 0.1
