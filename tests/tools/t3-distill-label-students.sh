# From a teacher's answers to students: each kind of row trains what is meant, from the same answers.
. "$SRC/tests/lib.sh"
. "$SRC/tests/servers/lib.sh"
export OMP_NUM_THREADS=1 COADOR_DEVICE=cpu
serve plain
rows 6 | sed '1s/}$/, "weight": 2}/' >rows.jsonl
tiny="$SRC/tests/data/train/tiny"
rowsof() { label --teacher openai:m --base-url "$URL" --reasoning-key raciocinio --cache cache --lead ' ' "$@" rows.jsonl 2>err; }
mask() { "$coador" lora-train --model "$tiny" --show-mask "$2" "$1" 2>/dev/null; }
trained() { # trained FILE N: the text that row N trains
    mask "$1" 99 | awk -v n="$2" '/ tokens, / { row++; next } row == n && $3 == "*"' | sed 's/^[^"]*//' | jq -rj .
}
rowsof >both.jsonl
asked=$(wc -l <cache)
rowsof --labels-only >labels.jsonl
rowsof --as-two-tasks 0.5 >two.jsonl
is "all from the same answers" "$(wc -l <cache)" "$asked"
is "reasoning and labels are trained" "$(trained both.jsonl 1)" ' {"raciocinio":"porque r0","p":"Neutro"}<|im_end|>'
is "labels alone" "$(trained labels.jsonl 1)" ' {"p":"Neutro"}<|im_end|>'
is "the same labels in all three" "$(jq -c .parsed both.jsonl | sha256sum) $(jq -c .parsed labels.jsonl | sha256sum)" "$(jq -c 'select(.id | contains("#") | not) | .parsed' two.jsonl | sha256sum) $(jq -c .parsed both.jsonl | sha256sum)"
is "two rows a record" "$(jq -r .id two.jsonl | head -4 | tr '\n' ' ')$(wc -l <two.jsonl)" 'r0 r0#reasoning r1 r1#reasoning 12'
is "the first is that of --labels-only" "$(jq -c . two.jsonl | sed -n 3p)" "$(jq -c . labels.jsonl | sed -n 2p)"
is "the second trains the reasoning" "$(trained two.jsonl 2)" ' porque r0<|im_end|>'
is "after the prefixed prompt" "$(sed -n 4p two.jsonl | jq -r .prompt)" "[reasoning] $(sed -n 2p rows.jsonl | jq -r .prompt)"
is "lambda times the record's weight" "$(mask two.jsonl 4 | sed -n 's/.*weight //p' | tr '\n' ' ')" '2 1 1 0.5 '
is "another prefix" "$(rowsof --as-two-tasks 1 --task-prefix 'Por quê? ' | sed -n 2p | jq -r .prompt | head -1)" 'Por quê? Texto: id=r0 bom dia'
for kind in both labels two; do
    ok "a student of $kind" "$coador" lora-train --model "$tiny" --max-steps 2 --lr 1e-2 --batch 4 -q -o "$kind" "$kind.jsonl"
done

# The loss of a step is that of the labels plus lambda times that of the reasoning, over the tokens of both.
loss() { "$coador" lora-train --model "$tiny" --max-steps 1 --lr 1e-2 --batch 12 --set logging_steps=1 -q -o l --overwrite "$1" && sed 's/.*"loss":\([^,]*\),.*/\1/' l/metrics.jsonl; }
jq -c 'select(.id | contains("#"))' two.jsonl >reasons.jsonl
tokens() { mask "$1" 99 | grep -c '\*'; }
is "the loss is the sum" "$(echo "$(loss two.jsonl) $(tokens two.jsonl) $(loss labels.jsonl) $(tokens labels.jsonl) $(loss reasons.jsonl) $(tokens reasons.jsonl)" | awk '{ d = $1 * $2 / ($3 * $4 + $5 * $6) - 1; print (d * d < 1e-12) }')" 1

# Conversations, numbers for ids, and what fails.
{ echo '{"id":7,"messages":[{"role":"system","content":"S"},{"role":"user","content":"id=r3 U"}]}'; echo '{"id":8,"x":1}'; } >talk.jsonl
label --teacher openai:m --base-url "$URL" --reasoning-key raciocinio --as-two-tasks 0.3 talk.jsonl >talked.jsonl 2>err
is "a conversation" "$(sed -n 2p talked.jsonl | jq -c '[.id,.weight,.messages[1].content,.messages[2].content,(.messages|length),has("completion")]')" '["7#reasoning",0.3,"[reasoning] id=r3 U","porque r3",3,false]'
is "its labels" "$(sed -n 1p talked.jsonl | jq -r '.messages[2].content' | jq -c 'keys')" '["p"]'
is "a failed record stays one" "$(sed -n '3,$p' talked.jsonl | jq -c '[.id,.error != null]')" '[8,true]'
exits "no reasoning is asked for" 2 'as-two-tasks needs --reasoning-key' label --teacher openai:m --base-url "$URL" --as-two-tasks 1 rows.jsonl
exits "both kinds" 2 'exclude each other' label --teacher openai:m --base-url "$URL" --reasoning-key r --as-two-tasks 1 --labels-only rows.jsonl
exits "a prefix alone" 2 'no meaning without --as-two-tasks' label --teacher openai:m --base-url "$URL" --reasoning-key r --task-prefix x rows.jsonl
done_testing
