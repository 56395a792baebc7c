#!/usr/bin/env bash
# make bench: our figures beside the peers', in turn on this machine, all warmed. One table on stdout; the same rows are added to
# tests/bench/results/DATE-MACHINE.csv.
# usage: [BENCH="train bases quantize filters decode"] [ROUNDS=N] [PEERS=DIR | PEERS_PYTHON=FILE] bench.sh BUILD FETCHED
#   BENCH    the parts to run: files NAME.sh beside this one, which call `row` (default: all)
#   ROUNDS   how often ours and the peer take turns (2 for training, 5 for what is short)
#   PEERS    the peers' virtual environment, made here when it is missing; PEERS_PYTHON: the python of one that is there
# floor: what the machine allows if nothing but the named limit cost time; share: ours of it. Ratios above 1 are ours ahead.
# On a machine with other work read only ratios, and of them the filters' and quantize's by processor seconds first.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1 fetched=$2
model=$fetched/SmolLM2-135M-Instruct.Q4_1.gguf
tools=$build/libexec/coador
peers=${PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/coador/peers}
python=${PEERS_PYTHON:-$peers/bin/python}
# Some set-ups pin OpenBLAS to a slow kernel: not for timings.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
work=$(mktemp -d "${TMPDIR:-/tmp}/coador-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ ! -x "$python" ]; then
    echo "making the peers' environment in $peers (about 6 GB)" >&2
    python3 -m venv "$peers"
    "$peers/bin/pip" install -q torch==2.15.0 transformers==5.23.0 peft==0.21.2 bitsandbytes==0.50.2 gguf safetensors tokenizers jsonschema scikit-learn
fi

machine=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
mkdir -p "$here/results"
csv=$here/results/$(date +%F)-$(echo "$machine" | tr -cs 'A-Za-z0-9' - | sed 's/-$//').csv
columns="date,machine,threads,load,work,unit,ours_median,ours_best,peer,peer_median,peer_best,ratio_of_medians,floor,share_of_floor"
[ -f "$csv" ] || echo "$columns" >"$csv"

row() { # row WORK UNIT OURS_MEDIAN OURS_BEST PEER PEER_MEDIAN PEER_BEST HIGHER_IS_BETTER [FLOOR]
    awk -v OFS=, -v d="$(date +%F)" -v m="$machine" -v t="$OMP_NUM_THREADS" -v l="$(cut -d' ' -f1 /proc/loadavg)" -v csv="$csv" -v w="$1" -v u="$2" \
        -v a="$3" -v ab="$4" -v p="$5" -v b="$6" -v bb="$7" -v up="$8" -v f="${9:--}" 'BEGIN {
        r = up ? a / b : b / a
        s = f + 0 == 0 ? "-" : sprintf("%.2f", up ? a / f : f / a)
        printf "%-52s %10s (best %s) %s   %s: %s (best %s)   %.2f x   floor %s, share %s\n", w, a, ab, u, p, b, bb, r, f, s
        print d, "\"" m "\"", t, l, "\"" w "\"", u, a, ab, "\"" p "\"", b, bb, sprintf("%.3f", r), f, s >>csv
    }'
}

median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
best() { sort -g | tail -1; }
quietly() { "$@" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }; } # what it says is kept in $work/said

echo "$machine, $OMP_NUM_THREADS threads, load $(cut -d' ' -f1 /proc/loadavg) at the start"
every="train bases quantize filters"
[ ! -f "$here/decode.sh" ] || every="$every decode"
for part in ${BENCH:-$every}; do
    [ -f "$here/$part.sh" ] || { echo "bench.sh: no part $part" >&2; exit 2; }
    # shellcheck source=/dev/null
    . "$here/$part.sh"
done
