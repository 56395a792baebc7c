# lora-train: killed at any moment and resumed, the adapter is the unbroken run's byte for byte.
. "${SRC:-.}/tests/lib.sh"
export OMP_NUM_THREADS=1 # the model is tiny
D=$SRC/tests/data/train
lt="$coador lora-train --model $D/tiny --targets all-linear --rank 4 --dropout 0.1 --lr 4e-3 --schedule linear --set warmup_ratio=0.1 --batch 2 --accumulation 2 --set group_by_length=true --set save_steps=3 --set logging_steps=4 --eval $D/eval.jsonl --set eval_steps=5 --set load_best_model_at_end=true"
A=adapter_model.safetensors
losses() { sed 's/,"tok_s.*//; s/,"eval_seconds.*//' "$1/metrics.jsonl"; }
# start DIR STEPS: in the background, until its first checkpoint is there; its id in $pid. exec: the id is lora-train's own.
start() {
    sh -c "exec $lt --max-steps $2 -q -o $1 --resume $D/rows.jsonl" 2>>"$1.err" & pid=$!
    until ls "$1"/checkpoints/step-*/state.json >/dev/null 2>&1 || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
}

ok "unbroken" $lt --max-steps 600 -q -o whole "$D/rows.jsonl"
for moment in 0.01 0.07 0.15; do
    start killed 600
    sleep $moment
    kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
done
ok "killed before its end" [ ! -e killed/$A ]
ok "checkpoints are left" sh -c 'ls -d killed/checkpoints/step-*'
ok "resumes to the end" $lt --max-steps 600 -o killed --resume "$D/rows.jsonl"
ok "the same adapter" cmp whole/$A killed/$A
is "the same metrics" "$(losses killed)" "$(losses whole)"
ok "no temporary stays" sh -c '! ls killed killed/checkpoints | grep tmp'
is "save_total_limit beside the best" "$(ls killed/checkpoints | wc -l)" "$(ls whole/checkpoints | wc -l)"

# A signal: the step ends, a checkpoint is written, the program dies of the signal.
start term 20000
kill -TERM $pid; wait $pid; is "SIGTERM ends it by the signal" $? 143
ok "no adapter that looks whole" sh -c '! ls term/$0 2>/dev/null' $A
ok "said how to go on" grep -q "stopped after step .* of 20000; --resume goes on" term.err

# What a resumed training must repeat.
ok "a run to resume" $lt --max-steps 6 -q -o base "$D/rows.jsonl"
cp -r base other
exits "another rate" 3 "cannot resume: learning_rate is 0.004 in the checkpoint and 0.001 now" $lt --max-steps 6 --lr 1e-3 -o other --resume "$D/rows.jsonl"
exits "another seed" 3 "cannot resume: seed is 42 in the checkpoint and 5 now" $lt --max-steps 6 --seed 5 -o other --resume "$D/rows.jsonl"
exits "other targets" 3 "cannot resume: target_modules is" $lt --targets '[q_proj]' --max-steps 6 -o other --resume "$D/rows.jsonl"
exits "other rows" 3 "cannot resume: rows is 40 in the checkpoint and 8 now" $lt --max-steps 6 -o other --resume "$D/eval.jsonl"
sed '1s/Texto/texto/' "$D/rows.jsonl" >edited.jsonl
exits "an edited row" 3 "cannot resume: data is" $lt --max-steps 6 -o other --resume edited.jsonl
cp -r "$D/tiny" moved && printf '\1' | dd of=moved/model.safetensors bs=1 seek=40000 conv=notrunc 2>/dev/null
exits "another base" 3 "cannot resume: base is" $coador lora-train --model moved --targets all-linear --rank 4 --dropout 0.1 --lr 4e-3 --schedule linear --set warmup_ratio=0.1 --batch 2 --accumulation 2 --set group_by_length=true --set save_steps=3 --set logging_steps=4 --eval "$D/eval.jsonl" --set eval_steps=5 --set load_best_model_at_end=true --max-steps 6 -o other --resume "$D/rows.jsonl"
exits "an earlier training is not overwritten" 2 "other/.* is there from an earlier training" $lt --max-steps 6 -o other "$D/rows.jsonl"
ok "unless told" $lt --max-steps 6 -q -o other --overwrite "$D/rows.jsonl"
ok "to the same adapter" cmp base/$A other/$A
ok "resuming nothing begins with step 1" $lt --max-steps 6 -o fresh --resume "$D/rows.jsonl"
cp .err said
ok "and says so" grep -q "no checkpoint to resume from: beginning with step 1" said
ok "resuming what is finished" $lt --max-steps 6 -o fresh --resume "$D/rows.jsonl"
cp .err said
ok "does nothing, and says so" grep -q "all 6 steps were done already" said
ok "and keeps the adapter" cmp fresh/$A base/$A

# A damaged checkpoint is passed over for the one before.
last=$(ls -d base/checkpoints/step-* | sort -t- -k2n | tail -1)
printf '\1' | dd of="$last/optimizer.safetensors" bs=1 seek=2000 conv=notrunc 2>/dev/null
ok "resumes before a damaged checkpoint" $lt --max-steps 6 -o base --resume "$D/rows.jsonl"
cp .err said
ok "and says so" grep -q "$last is passed over: $last/optimizer.safetensors is damaged" said
ok "to the same adapter" cmp base/$A other/$A
# A pipeline's stage: go on where the settings are the same, else begin anew.
ok "a run to go on from" $lt --max-steps 4 -q -o stage "$D/rows.jsonl"
ok "other settings begin anew" sh -c "$lt --max-steps 6 --seed 5 -o stage --resume --overwrite '$D/rows.jsonl' 2>said"
ok "and say why" grep -q "max_steps is 4 in the checkpoint and 6 now.*beginning anew\|seed is 42 in the checkpoint and 5 now.*beginning anew" said
ok "a run of those settings" $lt --max-steps 6 --seed 5 -q -o alone "$D/rows.jsonl"
ok "the same bytes" cmp stage/adapter_model.safetensors alone/adapter_model.safetensors
ok "the same settings go on" sh -c "$lt --max-steps 6 --seed 5 -o stage --resume --overwrite '$D/rows.jsonl' 2>said; grep -q 'resumed after step' said"
ok "to the same bytes" cmp stage/adapter_model.safetensors alone/adapter_model.safetensors

done_testing
