# SmolLM2 from GGUF as a Hugging Face directory: what it says here and what transformers says with it
# (its tokenizer: test_hfdir.c)
. "$SRC/tests/lib.sh"
M=$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$M" ] || skip_all "no model (make model)"
cat >q.jsonl <<'J'
{"prompt":"Water boils at"}
{"prompt":"A bolsa caiu ontem, mas hoje o mercado"}
{"prompt":"1, 2, 3, 4, 5,"}
J
said() { "$coador" generate --model "$1" -n 20 q.jsonl 2>err | jq -c '[.usage.completion_tokens,.output]'; }
ok "f32 directory" "$coador" quantize --to f32 -q -o f32 "$M"
said "$M" >gguf.txt
said f32 >here.txt
ok "the same answers from the directory" cmp gguf.txt here.txt
is "three of them" "$(wc -l <here.txt)" 3
if [ -n "${PEERS_PYTHON:-}" ]; then
    "$PEERS_PYTHON" "$SRC/tests/oracle/hfdir.py" greedy f32 q.jsonl 20 >there.txt 2>err || cat err >&2
    ok "and by transformers" cmp here.txt there.txt
else
    skip "and by transformers" "PEERS_PYTHON is not set"
fi
done_testing
