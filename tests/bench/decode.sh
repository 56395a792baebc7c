# Part of bench.sh: decode.py's rows, llama.cpp and transformers as peers. DECODE="decode types prefill first answers": which of
# them. `answers` is of what pipelines/nyt makes (NYT: its folder), once that has run, and is left out without; ROWS, ADAPTER and
# SCHEMA name others. PEER_SECONDS (900): after so many a peer is given up, and its row says so. Floor of decoding: reading the
# weights once a step, at GB_S (31) gigabytes a second.

"$python" -c 'import llama_cpp' 2>/dev/null || "$python" -m pip install -q llama-cpp-python==0.3.36
quietly make -s -C "$here/../.." BUILD="$build" "$build/tests/bench/model"
nyt=${NYT:-$here/../../pipelines/nyt}
rows=${ROWS:-$nyt/test.jsonl} adapter=${ADAPTER:-$nyt/adapter} schema=${SCHEMA:-$nyt/schema.json}
wanted=${DECODE:-decode types prefill first answers}
[ -f "$rows" ] && [ -d "$adapter" ] || wanted=${wanted/answers/}
# shellcheck disable=SC2086
ROWS=$rows ADAPTER=$adapter SCHEMA=$schema RUNS=${ROUNDS:-5} "$python" "$here/decode.py" "$build" "$model" $wanted 2>"$work/said" >"$work/decode.csv" || { cat "$work/said" >&2; exit 1; }
cat "$work/decode.csv"
cat "$work/decode.csv" >>"$csv"
