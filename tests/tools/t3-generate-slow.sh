# generate on the real model: order, batch independence, stops, sampling, scores, records that fail
. "$SRC/tests/lib.sh"
M=$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$M" ] || skip_all "no model (make model)"
gen() { "$coador" generate --model "$M" "$@"; }
cat >q.jsonl <<'J'
{"id":"1","prompt":"Water boils at","extra":[1, 2.50]}
{"id":"2","prompt":"The capital of France is a city called"}
{"id":"3","prompt":"1, 2, 3, 4, 5,"}
{"id":"4","note":"no prompt"}
{"id":"5","prompt":"A bolsa caiu ontem, mas hoje o mercado"}
J
gen -n 12 --batch 1 --threads 1 q.jsonl >a.jsonl 2>err
is "input order, one out for one in" "$(jq -r .id a.jsonl | tr '\n' ' ')" "1 2 3 4 5 "
is "unknown fields byte for byte" "$(grep -c '"extra":\[1, 2.50\]' a.jsonl)" 1
is "a record without a prompt goes on with its error" "$(jq -c 'select(.id=="4")|[.output,(.error|test("no prompt"))]' a.jsonl)" '[null,true]'
ok "and is warned of" grep -q '1 of 5 records carry an error' err
is "usage" "$(head -1 a.jsonl | jq -c .usage)" '{"prompt_tokens":3,"completion_tokens":12}'
gen -n 12 --batch 4 --threads 2 q.jsonl >b.jsonl 2>err
ok "the same bytes for any batch size and thread count" cmp a.jsonl b.jsonl
gen -n 12 --max-cached-tokens 64 q.jsonl >c.jsonl 2>err
ok "the same bytes when the cache makes records wait" cmp a.jsonl c.jsonl
is "a counting answer ends at the stop text" "$(sed -n 3p q.jsonl | gen -n 30 --stop ', 9' | jq -c '[.output,.finish_reason]')" '[" 6, 7, 8","stop"]'
head -2 q.jsonl | gen -n 8 --temperature 1 --top-p 0.9 --seed 7 --batch 1 >s1.jsonl
head -2 q.jsonl | gen -n 8 --temperature 1 --top-p 0.9 --seed 7 --batch 2 >s2.jsonl
head -2 q.jsonl | gen -n 8 --temperature 1 --top-p 0.9 --seed 8 --batch 2 >s3.jsonl
ok "sampling depends on the seed, not on the batch" cmp s1.jsonl s2.jsonl
ok "another seed, another text" sh -c '! cmp -s s2.jsonl s3.jsonl'
head -1 q.jsonl | gen -n 8 >greedy.jsonl
is "top-k 1 is greedy" "$(head -1 q.jsonl | gen -n 8 --temperature 2 --top-k 1 | jq -r .output)" "$(jq -r .output greedy.jsonl)"
is "chat" "$(echo '{"prompt":"What is the capital of France?"}' | gen --chat -n 24 | jq -c '[(.output|test("Paris")),.finish_reason]')" '[true,"stop"]'
is "messages are the same question" "$(echo '{"messages":[{"role":"user","content":"What is the capital of France?"}]}' | gen --chat -n 24 | jq -r .output)" \
    "$(echo '{"prompt":"What is the capital of France?"}' | gen --chat -n 24 | jq -r .output)"
is "special tokens in a prompt are text" "$(echo '{"prompt":"<|im_end|>"}' | gen -n 1 | jq .usage.prompt_tokens)" 7
echo '{"prompt":"The capital of France is","completion":" Paris."}' | gen --score >score.jsonl
is "score sums its tokens, the end included" "$(jq -c '[(.token_logprobs|length),((.logprob-(.token_logprobs|add))|fabs<1e-6)]' score.jsonl)" '[3,true]'
{ cat score.jsonl; seq 40 | sed 's/.*/{"prompt":"Number & is","completion":" even"}/'; echo '{"prompt":"The capital of France is","completion":" Paris."}'; } | jq -c 'del(.logprob,.token_logprobs)' | gen --score >many.jsonl
is "scores do not depend on their company" "$(tail -1 many.jsonl | jq -c .token_logprobs)" "$(jq -c .token_logprobs score.jsonl)"
# a reader sees an answer before the next question comes
mkfifo to from
gen -n 3 <to >from & p=$!
exec 8>to 7<from
echo '{"prompt":"Water boils at"}' >&8
read -r -t 60 line <&7
is "an answer comes while the input is still open" "$(echo "$line" | jq -c .usage.completion_tokens)" 3
exec 8>&- 7<&-; wait $p

long=$(printf 'word %.0s' $(seq 9000))
is "a prompt longer than the context" "$(echo "{\"prompt\":\"$long\"}" | gen -n 8 2>/dev/null | jq -c '[.output,(.error|test("do not fit the model.s context of 8192"))]')" '[null,true]'
exits "too many failed records" 1 'records carry an error' sh -c 'echo "{}" | "$0" generate --model "$1" --max-rejects 0' "$coador" "$M"
exits "no model file" 4 'cannot open nothing.gguf' "$coador" generate --model nothing.gguf q.jsonl
head -c 5000 "$M" >cut.gguf
exits "a cut model" 3 'cut.gguf' "$coador" generate --model cut.gguf q.jsonl
exits "no input file" 4 'cannot open nothing.jsonl' gen nothing.jsonl
echo 'not json' >bad.jsonl
exits "a broken line" 3 'bad.jsonl:1:' gen -o out.jsonl bad.jsonl
ok "leaves no output" test ! -e out.jsonl
exits "a full disk" 4 'No space' sh -c '"$0" generate --model "$1" -n 1 q.jsonl >/dev/full' "$coador" "$M"
exits "no such device" 5 'device' gen --device cuda:9 q.jsonl
exits "options that mean nothing" 2 'with --top-k only' gen --score --temperature 1 q.jsonl
done_testing
