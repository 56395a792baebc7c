# Part of bench.sh: decode.py's rows, llama.cpp and transformers as peers. DECODE="decode types prefill first answers": which of
# them; `answers` needs the rows of pipelines/nyt (ROWS=pipelines/nyt/test.jsonl, once that has run) and is left out without.
# Floor of decoding: reading the weights once a step, at GB_S (31) gigabytes a second.

"$python" -c 'import llama_cpp' 2>/dev/null || "$python" -m pip install -q llama-cpp-python==0.3.36
quietly make -s -C "$here/../.." BUILD="$build" "$build/tests/bench/model"
nyt=${ROWS:-$here/../../pipelines/nyt/test.jsonl}
wanted=${DECODE:-decode types prefill first answers}
[ -f "$nyt" ] || wanted=${wanted/answers/}
# shellcheck disable=SC2086
ROWS=$nyt RUNS=${ROUNDS:-5} "$python" "$here/decode.py" "$build" "$model" $wanted 2>"$work/said" >"$work/decode.csv" || { cat "$work/said" >&2; exit 1; }
cat "$work/decode.csv"
cat "$work/decode.csv" >>"$csv"
