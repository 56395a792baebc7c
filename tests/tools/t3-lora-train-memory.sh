# lora-train --estimate: within 10 % of the peak that a training really had, with passes that are full. On a card: t3-lora-train-card.sh
. "${SRC:-.}/tests/lib.sh"
M=$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf
[ -e "$M" ] || skip_all "no $M"
echo "${SANITIZE:-}" | grep -q address && skip_all "sanitizers have memory of their own"
awk 'BEGIN { for (r = 0; r < 2; r++) { s = "300"; for (i = 1; i < 129; i++) s = s "," 300 + (i * 37 + r) % 20000; print "{\"input_ids\":[" s "],\"labels\":[" s "]}" } }' >rows.jsonl
within() { # within NAME OPTION...: VmHWM of one step, its checkpoint included
    name=$1; shift
    set -- --device cpu --model "$M" --targets all-linear --batch 2 --max-steps 1 --set save_steps=1 --tokens-per-pass 256 "$@"
    says=$("$coador" lora-train "$@" --estimate | awk '/^peak on cpu / { print $(NF - 1) }')
    "$coador" lora-train "$@" --overwrite -o out rows.jsonl 2>err
    was=$(sed -n 's/.*peak memory \([0-9]*\) MiB/\1/p' err)
    echo "# $name: estimated $says MiB, was $was MiB"
    ok "$name" awk -v a="$says" -v b="$was" 'BEGIN { exit !(a > 0 && b > 0 && a / b > 0.9 && a / b < 1.1) }'
}
within "packed base, rank 16, dropout" --rank 16 --dropout 0.1
within "rank 4 on two targets" --rank 4 --targets '[q_proj, v_proj]'
within "base as bf16" --rank 16 --base-dtype bf16
within "gate and up computed again" --rank 16 --recompute mlp
within "layers computed again" --rank 16 --recompute layer
set -- --device cpu --model "$M" --targets all-linear --rank 16 --batch 2 --max-steps 1 --tokens-per-pass 1024 --memory-limit 300M
ok "a memory limit" "$coador" lora-train "$@" --overwrite -o out rows.jsonl
cp "$T/.err" err
ok "says what it does" grep -q 'memory-limit 300M: passes of [0-9]* tokens' err
was=$(sed -n 's/.*peak memory \([0-9]*\) MiB/\1/p' err)
ok "and holds: $was MiB" test "${was:-999}" -le 300
exits "a limit that nothing fits" 4 'memory-limit 100M: training takes at least [0-9]+ MiB with its longest row of 129 tokens' "$coador" lora-train "$@" --memory-limit 100M --overwrite -o out rows.jsonl
exits "a limit that is no size" 2 'expected a size such as 3.4G' "$coador" lora-train "$@" --memory-limit 3,4G --overwrite -o out rows.jsonl
is "the parts are named" "$("$coador" lora-train --model "$M" --estimate | sed 's/  .*//' | tr '\n' ';')" \
    "weights;adapter, gradients, moments;activations;logits;saving;program and tokenizer;peak on cpu;"
done_testing
