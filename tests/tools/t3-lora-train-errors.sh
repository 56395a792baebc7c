# lora-train: what is wrong is named, the exit status says what kind, and nothing is lost.
. "${SRC:-.}/tests/lib.sh"
export OMP_NUM_THREADS=1 # the model is tiny
D=$SRC/tests/data/train
lt="$coador lora-train --model $D/tiny"
run="$lt --targets all-linear --rank 2 --batch 4 --max-steps 2 -q"
row() { # row NAME PATTERN JSON: the second of two records is broken
    printf '%s\n' '{"prompt":"a","completion":"b"}' "$3" >bad.jsonl
    exits "$1" 3 "bad.jsonl:2: $2" $run -o row bad.jsonl
}

# Rows.
row "no completion" "no completion, expected a labelled row" '{"prompt":"a"}'
row "null completion" "no completion" '{"prompt":"a","completion":null}'
row "empty completion" "completion is empty" '{"prompt":"a","completion":""}'
row "a record with an error" "the record carries an error: \"teacher timed out\"" '{"prompt":"a","completion":"b","error":"teacher timed out"}'
row "nothing to train on" "nothing to train on" '{"id":"x"}'
row "two kinds" "both prompt and text" '{"prompt":"a","completion":"b","text":"c"}'
row "no trained token" "no trained token" '{"input_ids":[1,2],"labels":[-100,-100]}'
row "only the first is labelled" "no trained token" '{"input_ids":[1,2],"labels":[1,-100]}'
row "labels of another length" "2 input_ids but 1 labels" '{"input_ids":[1,2],"labels":[1]}'
row "no labels" "labels is missing" '{"input_ids":[1,2]}'
row "an id beyond the vocabulary" "input_ids: 264 is not an id below 264" '{"input_ids":[1,264],"labels":[1,2]}'
row "a negative weight" "weight: expected a number from 0" '{"prompt":"a","completion":"b","weight":-1}'
row "messages without --chat" "messages need the model's chat template: --chat" '{"messages":[]}'
row "too long" "300 tokens, expected at most 256 \(--max-length" "$(printf '{"text":"%0299d"}' 0)"
row "not JSON" "" '{"prompt"'
: >empty.jsonl
exits "no record" 3 "empty.jsonl: no record" $run -o row empty.jsonl
exits "all left out" 1 "no trained token: all 1 records were left out" sh -c "echo '{\"prompt\":\"a\"}' | $run --skip-incomplete -o row"
exits "a missing file" 4 "cannot open none.jsonl" $run -o row none.jsonl
ok "no directory was made for them" [ ! -e row ]

# Settings and options.
printf 'r: 4\nlearning_rat: 1\n' >c.yaml
exits "unknown field" 3 "c.yaml:2: unknown field learning_rat" $run --config c.yaml -o row "$D/rows.jsonl"
printf 'r: 4\nlearning_rate: fast\n' >c.yaml
exits "bad value" 3 "c.yaml:2: learning_rate: expected" $run --config c.yaml -o row "$D/rows.jsonl"
exits "no such target" 3 "target_modules .*c_attn.* matches no module" $run --targets '[c_attn]' -o row "$D/rows.jsonl"
exits "bad option" 2 "^lora-train: --lr: expected" $run --lr fast -o row "$D/rows.jsonl"
exits "two inputs" 2 "unexpected operand other.jsonl" $run -o row "$D/rows.jsonl" other.jsonl
exits "no model" 2 "model M is missing" $coador lora-train -o row "$D/rows.jsonl"
exits "no directory" 2 "o DIR is missing" $lt "$D/rows.jsonl"
exits "two inputs from -" 2 "standard input .* named twice" $run --eval - -o row -
exits "another device" 5 "device tpu: " $run --device tpu -o row "$D/rows.jsonl"
exits "fp8 on a CPU" 5 "compute fp8: cpu has no products in fp8: a card of compute capability 9.0 has" $run --device cpu --compute fp8 -o row "$D/rows.jsonl"
exits "rows beyond the context" 3 "max_length is 300, expected at most the model's context of 256" $run --max-length 300 -o row "$D/rows.jsonl"
printf 'warmup_ratio: 0.03\nlr_scheduler_type: constant\noptim: paged_adamw_32bit\nbf16: true\n' >c.yaml
ok "a notebook's idle fields" $run --config c.yaml -o idle "$D/rows.jsonl"
is "are warned of" "$(grep -c 'warning: \(warmup_ratio has no effect\|optim paged_adamw_32bit\|bf16: computed in f32\)' .err)" 3
exits "moments that a CPU has anyway" 2 "paged-moments is for cards: on cpu the moments are" $run --device cpu --paged-moments -o row "$D/rows.jsonl"

# Alarms: status 1, no adapter, the last good one named.
sed 's/}$/,"weight":0}/' "$D/rows.jsonl" >zero.jsonl
exits "gradient zero" 1 "training alarm: the gradient norm of step 1 is zero" $run -o zero zero.jsonl
sed '5,$s/}$/,"weight":0}/' "$D/rows.jsonl" >later.jsonl
exits "gradient zero in a later step" 1 "step 2 is zero.*; the adapter of step 1 stands in later/checkpoints/step-1$" $run --no-shuffle -o later later.jsonl
ok "what was good is there" ls later/checkpoints/step-1/adapter_model.safetensors
cp -r "$D/tiny" nan && printf '\300\177' | dd of=nan/model.safetensors bs=1 seek=$(($(wc -c <nan/model.safetensors) - 2)) conv=notrunc 2>/dev/null
exits "loss not finite" 1 "training alarm: the loss of step 1 is not finite" $coador lora-train --model nan --max-steps 2 -q -o nan-out "$D/rows.jsonl"
exits "unchanged adapter" 1 "training alarm: the adapter is unchanged after 1 steps" $run --schedule linear --set warmup_steps=5 --max-steps 1 -o same "$D/rows.jsonl"
ok "no adapter is left by alarms" sh -c '! ls zero/adapter_model.safetensors later/adapter_model.safetensors nan-out/adapter_model.safetensors same/adapter_model.safetensors 2>/dev/null'

# No memory: the limit is on address space, so that the activations do not fit.
if sh -c 'ulimit -v 400000' 2>/dev/null && ! echo "${SANITIZE:-}" | grep -q address; then
    exits "no memory" 4 "out of (device )?memory" sh -c "ulimit -v 400000; exec $run --tokens-per-pass 4000000 -o mem '$D/rows.jsonl'"
else
    skip "no memory" "address space cannot be limited here"
fi

# A full disk: what was saved before stays, and the message says which write failed.
mkdir full
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=180k none full 2>/dev/null; then
    exits "full disk" 4 "checkpoint of step [0-9]+: cannot write" $lt --targets all-linear --rank 4 --batch 4 --max-steps 9 --set save_steps=1 --set save_total_limit=9 -q -o full/run "$D/rows.jsonl"
    ok "earlier checkpoints stay" sh -c 'ls full/run/checkpoints/step-1/state.json'
    ok "no adapter that looks whole" [ ! -e full/run/adapter_model.safetensors ]
    umount full
else
    skip "full disk" "only root can mount a small tmpfs"
fi
done_testing
