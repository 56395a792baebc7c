#!/usr/bin/env bash
# Masks of constrained decoding beside XGrammar and llguidance, over folders of schemas with valid and invalid instances in
# MaskBench's layout (guidance-ai/jsonschemabench, maskbench/data, commit ba103c73): what compiles, what is accepted to its end
# and refused, times. `masks.sh --help` has the options.
#   SUITES=DIR tests/bench/masks.sh [--every 5] [--tokenizer FILE] [DIR|FILE]...     SUITES holds jsonschemabench
#   tests/bench/masks.sh --schema pipelines/noticias/schema.json [--string razao]
# BENCH_CLOCK=cpu: processor time instead of the clock's, on a machine with other work (each figure then has about 0.3 µs more).
# BUILD: the build folder (build). PEERS: a virtual environment with xgrammar and llguidance, made here when it is missing.
set -euo pipefail
src=$(cd "$(dirname "$0")/../.." && pwd)
build=$(realpath -m "${BUILD:-$src/build}")
peers=${PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/coador/mask-peers}
export OMP_NUM_THREADS=1
if [ ! -x "$peers/bin/python" ]; then
    echo "making the peers' environment in $peers" >&2
    python3 -m venv "$peers"
    "$peers/bin/pip" install -q xgrammar==0.2.8 llguidance==1.9.1 numpy
fi
make -s -C "$src" BUILD="$build" "$build/tests/bench/masks" >&2
exec "$peers/bin/python" "$src/tests/bench/masks.py" --bench "$build/tests/bench/masks" --tokenizer "${FETCHED:-$src/.fetched}/SmolLM2-135M-Instruct.Q4_1.gguf" "$@"
