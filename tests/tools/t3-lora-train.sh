# lora-train on a tiny model: what must not matter does not, rows and masks are as the page says.
. "${SRC:-.}/tests/lib.sh"
export OMP_NUM_THREADS=1 # the model is tiny
D=$SRC/tests/data/train
lt="$coador lora-train --model $D/tiny"
common="--targets all-linear --rank 4 --alpha 16 --dropout 0.1 --lr 4e-3 --schedule cosine --set warmup_steps=2 --set logging_steps=1 --max-steps 6 --seed 3 -q"
field() { sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p" "$2"; }
close_to() { # close_to FIELD A B: every value within 1e-5 of the other file's
    field "$1" "$2" >a.txt; field "$1" "$3" >b.txt
    [ -s a.txt ] && [ "$(wc -l <a.txt)" = "$(wc -l <b.txt)" ] && paste a.txt b.txt | awk '{ d = $1 - $2; if (!(d <= 1e-5 * $2 && d >= -1e-5 * $2)) { print; bad = 1 } } END { exit bad }'
}
differ() { ! cmp -s "$1" "$2"; }
A=adapter_model.safetensors

ok "trains 4x4" $lt $common --batch 4 --accumulation 4 --set group_by_length=true -o a "$D/rows.jsonl"
ok "trains 16x1" $lt $common --batch 16 --accumulation 1 --set group_by_length=true -o b "$D/rows.jsonl"
ok "4x4 = 16x1: losses" close_to loss a/metrics.jsonl b/metrics.jsonl
ok "4x4 = 16x1: the same adapter" cmp a/$A b/$A
ok "one thread" $lt $common --batch 4 --accumulation 4 --set group_by_length=true --threads 1 -o t1 "$D/rows.jsonl"
ok "two threads" $lt $common --batch 4 --accumulation 4 --set group_by_length=true --threads 2 -o t2 "$D/rows.jsonl"
ok "1 = 2 threads: the same bytes" cmp t1/$A t2/$A
ok "the same again" cmp a/$A t2/$A
ok "each row a pass of its own" $lt $common --batch 4 --accumulation 4 --set group_by_length=true --tokens-per-pass 1 -o sep "$D/rows.jsonl"
ok "packed = separate: losses" close_to loss a/metrics.jsonl sep/metrics.jsonl
ok "packed = separate: gradient norms" close_to grad_norm a/metrics.jsonl sep/metrics.jsonl
for how in "--recompute mlp" "--recompute layer" "--set gradient_checkpointing=true"; do
    ok "$how" $lt $common --batch 4 --accumulation 4 --set group_by_length=true $how --overwrite -o again "$D/rows.jsonl"
    ok "$how: the same bytes" cmp a/$A again/$A
done
ok "rows from standard input" sh -c "$lt $common --batch 4 --accumulation 4 --set group_by_length=true -o in <'$D/rows.jsonl'"
ok "the same from standard input" cmp a/$A in/$A
ok "another seed" $lt $common --batch 4 --accumulation 4 --set group_by_length=true --seed 4 -o seed "$D/rows.jsonl"
ok "another adapter" differ a/$A seed/$A

# The last, partial step of an epoch is kept: 40 rows by 16 are 3 steps; the metrics say where it stands.
ok "an epoch" $lt --targets '[q_proj]' --rank 2 --epochs 1 --batch 16 --set logging_steps=1 -q -o ep "$D/rows.jsonl"
is "steps of an epoch" "$(field step ep/metrics.jsonl | tail -1)" 3
is "epochs done" "$(field epoch ep/metrics.jsonl | tail -1)" 1
is "fields of a line" "$(tail -1 ep/metrics.jsonl | sed 's/:[^,}]*//g')" '{"step","epoch","loss","grad_norm","lr","tokens","tok_s","rss"}'

# Rows: what is trained.
cat >rows.jsonl <<'EOF'
{"id":"0","prompt":"ab ","completion":"cd","weight":0.5}
{"text":"xy"}
{"input_ids":[65,66,67],"labels":[-100,66,-100]}
EOF
ok "shows masks" $lt --show-mask 3 rows.jsonl
$lt --show-mask 3 rows.jsonl >mask 2>mask.err
is "a completion and its end are trained" "$(sed -n 1p mask) $(grep -c '\*' mask)" "rows.jsonl:1: 6 tokens, 3 trained, weight 0.5 6"
is "trained text" "$(sed -n '5,7p' mask | awk '{ printf "%s%s ", $3, $4 }')" '*"c" *"d" *"<|im_end|>" '
ok "a prompt that ends in a space is warned of" grep -q 'rows.jsonl:1: the prompt ends in a space' mask.err
echo '{"type":"object","properties":{"a":{"enum":["b","c"]},"d":{"type":"integer"}},"required":["a"]}' >fit.json
for c in '{\"a\":\"b\"}' ' {\"a\":\"c\",\"d\":1}' '{\"a\":\"x\"}' '{\"a\": \"b\"}' '{\"d\":1,\"a\":\"b\"}' 'ab'; do echo "{\"prompt\":\"q\",\"completion\":\"$c\"}"; done >fit.jsonl
$lt --show-mask 9 --schema fit.json fit.jsonl 2>&1 >/dev/null | sed -n 's/.*fit.jsonl:/fit.jsonl:/p' >warned
is "completions that generate would not write" "$(cut -c1-48 warned)" 'fit.jsonl:3: the completion does not fit the sch
fit.jsonl:4: the completion fits the schema, but
fit.jsonl:5: the completion fits the schema, but
fit.jsonl:6: the completion does not fit the sch'
is "the same spaced" "$($lt --show-mask 4 --schema fit.json --whitespace python fit.jsonl 2>&1 >/dev/null | grep -o 'fit.jsonl:[0-9]' | tr '\n' ' ')" 'fit.jsonl:1 fit.jsonl:2 fit.jsonl:3 '
exits "a schema without --show-mask" 2 'has no meaning without --show-mask' $lt --schema fit.json -o o rows.jsonl
exits "a schema that cannot be kept" 3 'uniqueItems: cannot be kept' $lt --show-mask 1 --schema <(echo '{"uniqueItems":true}') fit.jsonl
$lt --show-mask 1 --loss all rows.jsonl >mask 2>mask.err
is "--loss all trains the prompt but its first token" "$(head -1 mask)" "rows.jsonl:1: 6 tokens, 5 trained, weight 0.5"
printf '{"prompt":"abcdefgh","completion":"cd"}\n{"prompt":"a","completion":"cd"}\n' >long.jsonl
is "--overlong truncate keeps completion and end" "$($lt --show-mask 1 --max-length 6 --overlong truncate long.jsonl 2>err | awk 'NR > 1 { printf "%s", $NF }')" '"f""g""h""c""d""<|im_end|>"'
ok "and counts" grep -q '1 rows longer than --max-length truncated' err
is "--overlong skip" "$($lt --show-mask 9 --max-length 6 --overlong skip long.jsonl 2>err | grep -c tokens)" 1
ok "and counts" grep -q '1 rows longer than --max-length left out' err

# Going on from an adapter.
ok "from an adapter" $lt -q --init-adapter a --max-steps 1 --lr 1e-3 -o more "$D/rows.jsonl"
ok "its rank is kept" grep -q '"r": *4' more/adapter_config.json
exits "another rank is refused" 3 "adapter's r is 4, but 8 is asked for" $lt -q --init-adapter a --rank 8 -o more2 "$D/rows.jsonl"
exits "other targets are refused" 3 "target_modules differ" $lt -q --init-adapter a --targets '[q_proj]' -o more3 "$D/rows.jsonl"

# Evaluation and early stopping: with a rate this high the evaluation loss rises.
ok "evaluates" $lt --targets all-linear --lr 0.3 --schedule constant --max-steps 30 --batch 4 --set eval_steps=2 --set early_stopping_patience=1 --set logging_steps=1 --eval "$D/eval.jsonl" -o ev "$D/rows.jsonl"
cp "$T/.err" ev.err
best=$(awk -F'[:,]' '/eval_loss/ { if (!n++ || $6 + 0 < low) { low = $6 + 0; at = $2 } } END { print at }' ev/metrics.jsonl)
ok "stops early" [ "$(field step ev/metrics.jsonl | tail -1)" -lt 30 ]
is "stops an evaluation after the best" "$(field step ev/metrics.jsonl | tail -1)" $((best + 2))
ok "keeps the best adapter, and says so" grep -q "stopped early; adapter of step $best," ev.err
ok "it is the best checkpoint's" cmp ev/$A ev/checkpoints/step-$best/$A
done_testing
