# generate --schema on the real model: the tokens of an answer are those that training would see, and few need the model
. "$SRC/tests/lib.sh"
M=$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$M" ] || skip_all "no model (make model)"
gen() { "$coador" generate --model "$M" "$@"; }
schema=$SRC/pipelines/noticias/schema.json
cat >q.jsonl <<'J'
{"id":"1","prompt":"f1: O time venceu. f2: Choveu. f3: Ele morreu. Resultado:"}
{"id":"2","prompt":"Resultado:"}
{"id":"3","prompt":"A fair question\n"}
J
gen -n 120 --prefix " " --schema "$schema" q.jsonl >a.jsonl
"$coador" parse-json --strict --schema "$schema" a.jsonl >v.jsonl
is "all valid" "$(jq -sc 'map(.parsed != null)' v.jsonl)" '[true,true,true]'
is "85 % of the tokens come without the model" "$(jq -sc '(map(.usage.model_calls)|add) <= 0.15 * (map(.usage.completion_tokens)|add)' a.jsonl)" true
jq -c '{id,prompt,completion:.output,n:.usage.completion_tokens}' a.jsonl | gen --score >s.jsonl
is "the answer's tokens are those of its text" "$(jq -sc 'map((.token_logprobs|length) == .n + 1)' s.jsonl)" '[true,true,true]'
echo '{"type":"object","properties":{"why":{"type":"string"},"p":{"enum":["yes","no"]}},"required":["why","p"],"additionalProperties":false}' >why.json
gen -n 40 --temperature 1.5 --schema why.json q.jsonl | "$coador" parse-json --strict --schema why.json >w.jsonl
is "a free text first ends in time" "$(jq -sc 'map(.parsed.p != null and .usage.completion_tokens <= 40)' w.jsonl)" '[true,true,true]'
done_testing
