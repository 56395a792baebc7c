# Adapters both ways with PEFT itself: ours loads there, PEFT's loads here, with the same answers
. "$SRC/tests/lib.sh"
M=$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$M" ] || skip_all "no model (make model)"
[ -n "${PEERS_PYTHON:-}" ] || skip_all "PEERS_PYTHON is not set: no Python with torch and peft"
peft() { "$PEERS_PYTHON" "$SRC/tests/oracle/peft_score.py" "$@"; }
cat >rows.jsonl <<'J'
{"prompt":"The capital of France is","completion":" Paris."}
{"prompt":"Classify: the plan failed badly.\nAnswer:","completion":" {\"f1\":\"negative\"}"}
{"prompt":"A bolsa caiu ontem, mas hoje o mercado","completion":" subiu."}
J
# Log-probabilities differ by at most twice what logits differ by: 1e-4 of the largest logit is the bound for those.
same() { paste <(jq -c .token_logprobs "$1") <(jq -c '[.token_logprobs,.largest]' "$2") | jq -es '
    length == 6 and ([range(0; 6; 2) as $i | .[$i] as $a | .[$i+1][0] as $b | .[$i+1][1] as $m |
    ($a|length) == ($b|length) and ([range($a|length) | (($a[.]-$b[.])|fabs) <= 2e-4*$m] | all)] | all)'; }

"$coador" lora-train --model "$M" --rank 4 --alpha 16 --targets all-linear --lr 1e-2 --batch 3 --max-steps 4 -q -o ours rows.jsonl
"$coador" generate --model "$M" --adapter ours --score rows.jsonl >here.jsonl
"$coador" generate --model "$M" --score rows.jsonl >base.jsonl
ok "PEFT loads ours" sh -c '"$0" "$1" score ours rows.jsonl >there.jsonl' "$PEERS_PYTHON" "$SRC/tests/oracle/peft_score.py"
ok "and says the same" same here.jsonl there.jsonl
ok "which is not what the base says" sh -c '! cmp -s here.jsonl base.jsonl'
ok "PEFT makes one" peft make theirs
peft score theirs rows.jsonl >there.jsonl
ok "ours loads it" sh -c '"$0" generate --model "$1" --adapter theirs --score rows.jsonl >here.jsonl' "$coador" "$M"
ok "and says the same" same here.jsonl there.jsonl
done_testing
