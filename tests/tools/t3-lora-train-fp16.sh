# Cards that compute no bf16, told by one that only counts (card.c): the library beside the first is opened, and lora-train scales the
# loss, skips the steps whose gradients are not finite, and goes on from a checkpoint as if it had not stopped.
. "${SRC:-.}/tests/lib.sh"
command -v cc >/dev/null || skip_all "no cc"
command -v jq >/dev/null || skip_all "no jq"
mkdir both one
build() { cc -std=c11 -D_GNU_SOURCE -I"$SRC" -shared -fPIC "$@" "$SRC/tests/tools/card.c" || { echo "Bail out! card.c does not compile"; exit 1; }; }
build -o both/libcoador-cuda.so
build -DCOADOR_FP16 -o both/libcoador-cuda-fp16.so
cp both/libcoador-cuda.so one
export CARD_MIB=2048
card() { COADOR_CUDA=$1 "$coador" doctor --json | jq -r '.cuda | (.computes_in // .usable) + (.remark // "")'; }
is "bf16 where the card has it" "$(card both/libcoador-cuda.so)" "bf16, by both/libcoador-cuda.so"
is "a test may ask for f16" "$(card both/libcoador-cuda-fp16.so)" "f16, by both/libcoador-cuda-fp16.so"
export CARD_NO_BF16=1
is "f16 where it has not" "$(card both/libcoador-cuda.so)" "f16, by both/libcoador-cuda-fp16.sonot tested on such a card"
is "the second library is missing" "$(card one/libcoador-cuda.so)" "no: a card computes no bf16, and libcoador-cuda-fp16.so, which computes in fp16, is not beside the other"

cat >config.json <<'JSON'
{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,
 "num_attention_heads":4,"num_key_value_heads":2,"head_dim":16,"vocab_size":8000,"tie_word_embeddings":true,"rms_norm_eps":1e-05,
 "rope_theta":10000.0,"max_position_embeddings":512,"hidden_act":"silu","bos_token_id":1,"eos_token_id":2,"initializer_range":0.02,"torch_dtype":"bfloat16"}
JSON
"$coador" tensors random --directory --tokenizer "$SRC/tests/data/adapters/base/tokenizer.json" -o model config.json || exit 1
awk 'BEGIN { for (r = 0; r < 8; r++) print "{\"input_ids\":[30," r + 4 ",5,6,7],\"labels\":[30," r + 4 ",5,6,7]}" }' >rows.jsonl
export COADOR_CUDA=both/libcoador-cuda.so
train() { out=$1; shift; "$coador" lora-train --model model --device cuda --loss all --batch 2 --rank 4 --lr 1e-3 --set logging_steps=1 -o "$out" "$@" rows.jsonl; }
scales() { jq -r '[.loss_scale, .skipped_steps, .grad_norm] | map(tostring) | join(" ")' "$1/metrics.jsonl" | tr '\n' ';'; }
CARD_INFINITE=,2,3,5, train whole --max-steps 6 --set save_steps=3 --set save_total_limit=9 2>err
is "exit" $? 0
is "scale, skipped steps and norm by step" "$(scales whole)" "65536 0 1;32768 1 null;16384 2 null;16384 2 1;8192 3 null;8192 3 1;"
is "the learning rate is that of the updates" "$(jq -r '(1 - .lr / 0.001) * 6 | round' whole/metrics.jsonl | tr '\n' ' ')" "0 0 0 1 1 2 "
ok "said at the end" grep -q "3 steps did not update, for their gradients were not finite in f16; the loss scale is 8192" err
ok "that it is not tested is said" grep -q "warning: not tested on such a card" err
state() { jq -c '[.step, .loss_scale, .loss_scale_updates, .skipped_steps, .skipped_in_a_row, .identity.activations]' "$1"; }
is "a checkpoint holds the scale" "$(state whole/checkpoints/step-3/state.json)" '[3,16384,0,2,2,"f16"]'

cp -r whole stopped
rm -r stopped/checkpoints/step-6 stopped/adapter_model.safetensors stopped/adapter_config.json
CARD_INFINITE=,2, train stopped --max-steps 6 --set save_steps=3 --set save_total_limit=9 --resume 2>err # its second norm is step 5's
is "resumed" "$(scales stopped)" "$(scales whole)"
is "the same state" "$(state stopped/checkpoints/step-6/state.json)" "$(state whole/checkpoints/step-6/state.json)"
sed -i 's/"loss_scale":16384,//' stopped/checkpoints/step-3/state.json
rm -r stopped/checkpoints/step-6
train stopped --max-steps 6 --set save_steps=3 --resume 2>err
ok "a state without the scale is damaged" grep -q "state.json: loss_scale is missing" err

CARD_INFINITE=$(seq -s, 1 40 | sed 's/.*/,&,/') train never --max-steps 40 2>err
is "a scale that falls below 1 is an alarm" "$? $(tail -1 err | sed 's/.*training alarm: //')" "1 the gradient of step 17 is not finite at a loss scale of 1; the adapter of step 16 stands in never/checkpoints/step-16"
unset CARD_NO_BF16
CARD_INFINITE=,2, train bf16 --max-steps 3 2>err
is "without scaling the first is an alarm" "$? $(tail -1 err | sed 's/.*training alarm: //')" "1 the gradient norm of step 2 is not finite; the adapter of step 1 stands in bf16/checkpoints/step-1"
is "and nothing says scale" "$(grep -c -e loss_scale -e skipped bf16/metrics.jsonl bf16/checkpoints/step-1/state.json | cut -d: -f2 | tr '\n' ' ')" "0 0 "
done_testing
