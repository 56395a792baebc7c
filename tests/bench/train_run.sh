# Functions of bench.sh's parts train and bases: one training of ours, one of transformers + PEFT in fp32. Four rows a step, r 16 on all linears; the first step of each
# turn warms up. Tokens are real ones: padding does not count.
# Floor: 0.57 GFLOP a token in products (0.11 of them the head's, for trained tokens only) at the best rate of our own product.

train_ours() { # train_ours SIDE MODEL ROWS DROPOUT [OPTION ...]: tokens/s a step are added to $work/SIDE
    quietly "$tools/lora-train" --model "$2" --rank 16 --alpha 64 --dropout "$4" --batch 4 --accumulation 1 --set logging_steps=1 \
        --no-shuffle --epochs 1 --lr 1e-4 --overwrite "${@:5}" -o "$work/adapter" "$3"
    jq -r 'select(.step > 1) | .tok_s' "$work/adapter/metrics.jsonl" >>"$work/$1"
    sed -n 's/.*peak memory \([0-9]*\) MiB.*/\1/p' "$work/said" >>"$work/$1.peak"
}

train_peer() { # train_peer ROWS DROPOUT
    quietly "$python" "$here/train_peer.py" train "$model" "$1" "$2" >"$work/peer.json"
    jq -r '.tok_s[]' "$work/peer.json" >>"$work/theirs"
    jq .peak_mib "$work/peer.json" >>"$work/theirs.peak"
}

limit() { # limit GFLOP_A_TOKEN: tokens/s, or - without the timing program
    local gemm=$build/tests/bench/gemm
    [ -x "$gemm" ] || { echo -; return; }
    [ -f "$work/gemm" ] || "$gemm" "$OMP_NUM_THREADS" 9 1024 >"$work/gemm"
    awk -v g="$1" '!/^#/ && $8 > most { most = $8 } END { printf "%.0f", most / g }' "$work/gemm"
}
