# lora-train's memory on a card, told by one that only counts (card.c): --estimate is what a training then takes, --memory-limit
# holds, and what does not fit is refused with the numbers. Tolerance: 1 MiB (what is rounded, and blocks of a few bytes).
. "${SRC:-.}/tests/lib.sh"
command -v cc >/dev/null || skip_all "no cc"
cc -std=c11 -D_GNU_SOURCE -I"$SRC" -shared -fPIC -o card.so "$SRC/tests/tools/card.c" || { echo "Bail out! card.c does not compile"; exit 1; }
export COADOR_CUDA=$T/card.so CARD_MIB=4096
cat >config.json <<'JSON'
{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":512,"intermediate_size":1536,"num_hidden_layers":6,
 "num_attention_heads":8,"num_key_value_heads":2,"head_dim":64,"vocab_size":8000,"tie_word_embeddings":true,"rms_norm_eps":1e-05,
 "rope_theta":10000.0,"max_position_embeddings":4096,"hidden_act":"silu","bos_token_id":1,"eos_token_id":2,"initializer_range":0.02,"torch_dtype":"bfloat16"}
JSON
"$coador" tensors random --directory --tokenizer "$SRC/tests/data/adapters/base/tokenizer.json" -o bf16 config.json || exit 1
"$coador" quantize --to nf4 --double-quant --quiet -o nf4 bf16 || exit 1
awk 'BEGIN { for (r = 0; r < 8; r++) { s = "30"; for (i = 1; i < 512; i++) s = s "," 3 + (i * 37 + r) % 7000; print "{\"input_ids\":[" s "],\"labels\":[" s "]}" } }' >rows.jsonl
train() { "$coador" lora-train --device cuda --loss all --batch 8 --max-steps 1 --targets all-linear "$@"; }
held() { sed -n 's/.*memory of cuda:0: \([0-9]*\) MiB.*/\1/p' "$1"; }
peak() { awk '/^peak on cuda:0 / { print $(NF - 1) }' "$1"; }
within() { # within NAME OPTION...: what --estimate says, and what was held at the end
    name=$1; shift
    train "$@" --estimate >says
    train "$@" --overwrite -o out rows.jsonl 2>err
    echo "# $name: estimated $(peak says) MiB, was $(held err) MiB"
    ok "$name" awk -v a="$(peak says)" -v b="$(held err)" 'BEGIN { exit !(a > 0 && b > 0 && a - b < 1 && b - a < 1) }'
}
within "bf16" --model bf16 --rank 16 --tokens-per-pass 4096
within "NF4, dropout" --model nf4 --rank 16 --dropout 0.1 --tokens-per-pass 4096
within "one mask a module" --model nf4 --rank 16 --dropout 0.1 --set lora_dropout_per_module=true --tokens-per-pass 2048
within "two targets" --model nf4 --rank 8 --targets '[q_proj, v_proj]' --tokens-per-pass 2048
within "base as bf16" --model nf4 --rank 16 --base-dtype bf16 --tokens-per-pass 1024
within "base as f32" --model bf16 --rank 16 --base-dtype f32 --tokens-per-pass 1024
within "gate and up computed again" --model nf4 --rank 16 --recompute mlp --tokens-per-pass 4096
within "layers computed again" --model nf4 --rank 16 --recompute layer --tokens-per-pass 4096
within "a rank that 8 does not divide" --model nf4 --rank 12 --tokens-per-pass 4096
within "moments on the host" --model nf4 --rank 64 --tokens-per-pass 4096 --paged-moments
within "by the notebook's optimiser" --model nf4 --rank 64 --tokens-per-pass 4096 --set optim=paged_adamw_32bit
within "fp8, of bf16" --model bf16 --rank 16 --compute fp8 --tokens-per-pass 4096
within "fp8, of bf16, dropout" --model bf16 --rank 16 --dropout 0.1 --compute fp8 --tokens-per-pass 1024
within "fp8, of NF4" --model nf4 --rank 16 --compute fp8 --tokens-per-pass 4096
train --model bf16 --rank 16 --compute fp8 --set save_steps=1 --overwrite -o fp8 rows.jsonl 2>err
ok "fp8 is said" grep -q 'computing on cuda:0, products with the frozen linears in fp8' err
exits "and is of the training" 3 'cannot resume: compute is "fp8" in the checkpoint and not set now' train --model bf16 --rank 16 --set save_steps=1 --resume -o fp8 rows.jsonl
train --model bf16 --rank 16 --set save_steps=1 --overwrite -o auto rows.jsonl 2>err
exits "which is not begun without it" 3 'cannot resume: compute is not set in the checkpoint and "fp8" now' train --model bf16 --rank 16 --compute fp8 --set save_steps=1 --resume -o auto rows.jsonl
exits "fp8 of some linears" 2 'compute fp8: an adapter on every linear is expected .*, k_proj has none' train --model bf16 --targets '[q_proj, v_proj]' --compute fp8 --overwrite -o out rows.jsonl
exits "fp8 of a rank that 8 does not divide" 3 'compute fp8: q_proj of 512 × 512, rank 12: expected' train --model bf16 --rank 12 --compute fp8 --overwrite -o out rows.jsonl
exits "fp8 with a mask a module" 2 'compute fp8: lora_dropout_per_module is on' train --model bf16 --rank 16 --dropout 0.1 --set lora_dropout_per_module=true --compute fp8 --overwrite -o out rows.jsonl
export CARD_OLD=1
exits "fp8 before Hopper" 5 'compute fp8: cuda:0 has no products in fp8: a card of compute capability 9.0 has' train --model bf16 --rank 16 --compute fp8 --overwrite -o out rows.jsonl
within "a card before Hopper" --model nf4 --rank 16 --tokens-per-pass 4096
within "the same, one mask a module" --model nf4 --rank 16 --dropout 0.1 --set lora_dropout_per_module=true --tokens-per-pass 2048
unset CARD_OLD
is "the parts are named" "$(train --model nf4 --estimate | sed 's/  .*//' | tr '\n' ';')" \
    "weights;adapter, gradients, moments;activations;logits;scratch of the kernels;context and libraries;peak on cuda:0;"
is "and the host's share" "$(train --model nf4 --paged-moments --estimate | sed 's/  .*//' | tr '\n' ';')" \
    "weights;adapter, gradients;activations;logits;scratch of the kernels;context and libraries;peak on cuda:0;moments, of the host;"
CARD_NO_PAGES=1 exits "a driver that cannot page" 2 'paged-moments: the driver of cuda:0 cannot page' train --model nf4 --paged-moments --estimate
CARD_NO_PAGES=1 exits "what a notebook's field is told then" 0 'warning: optim paged_adamw_32bit: the moments stay on cuda:0' \
    train --model nf4 --set optim=paged_adamw_32bit --estimate

train --model nf4 --estimate --tokens-per-pass 4096 >says
top=$(peak says)
for limit in 640 560 520 500 480; do
    name="within $limit MiB"
    train --model nf4 --tokens-per-pass 4096 --memory-limit ${limit}M --overwrite -o out rows.jsonl 2>err
    echo "# of $top MiB: $(sed -n 's/.*--memory-limit //p' err); held $(held err)"
    ok "$name, and little is left" awk -v b="$(held err)" -v l=$limit 'BEGIN { exit !(b > 0 && b <= l && b > 0.85 * l) }'
done
train --model nf4 --tokens-per-pass 4096 --memory-limit 480M --estimate >says 2>err
ok "--estimate of the passes that --memory-limit takes" awk -v a="$(peak says)" 'BEGIN { exit !(a > 400 && a <= 480) }'
exits "moments on the host where that costs the least" 0 'memory-limit 420M: passes of [0-9]+ tokens.*; moments on the host$' \
    train --model nf4 --rank 64 --tokens-per-pass 4096 --memory-limit 420M --overwrite -o out rows.jsonl
cp "$T/.err" err
ok "hold the limit: $(held err)" test "$(held err)" -le 420
exits "a limit that nothing fits" 4 'memory-limit 330M: training takes at least [0-9]+ MiB however short its rows are \(weights [0-9]+, ' \
    train --model nf4 --memory-limit 330M --overwrite -o out /nowhere
exits "that these rows do not fit" 4 'memory-limit 339M: training takes at least [0-9]+ MiB with its longest row of 51[0-9] tokens \(weights [0-9]+, ' \
    train --model nf4 --memory-limit 339M --overwrite -o out rows.jsonl
exits "not from standard input" 2 'not from standard input' train --model - --memory-limit 400M --overwrite -o out rows.jsonl

CARD_MIB=520
exits "a card too small" 4 'training needs [0-9]+ MiB on cuda:0 \(weights [0-9]+, .*, which has 520 for it: --memory-limit 520M takes passes of [0-9]+ tokens' \
    train --model nf4 --tokens-per-pass 4096 --overwrite -o new rows.jsonl
ok "before anything is made" test ! -e new
ok "and so it fits" train --model nf4 --tokens-per-pass 4096 --memory-limit 520M -o new rows.jsonl
CARD_MIB=314
exits "much too small" 4 'which has 314 for it: training takes at least' train --model nf4 --overwrite -o out rows.jsonl
CARD_MIB=1024
export CARD_HIDDEN=500
exits "memory that another program took meanwhile" 4 'out of device memory \(cuda:0\): activations needs [0-9]+ bytes, [0-9]+ are free: --memory-limit, ' \
    train --model nf4 --tokens-per-pass 4096 --overwrite -o out rows.jsonl
export CARD_OLD=1; CARD_MIB=704 CARD_HIDDEN=35
exits "the same when the kernels ask for scratch" 4 'out of device memory \(cuda:0\) at the pass: scratch of [0-9]+ bytes, [0-9]+ are free: --memory-limit, ' \
    train --model nf4 --tokens-per-pass 4096 --overwrite -o out rows.jsonl
done_testing
