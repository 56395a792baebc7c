# Part of bench.sh: training over packed bases beside our own f32 base, in turn; and the peaks.
. "$here/train_run.sh"

base() { # base NAME MODEL
    rm -f "$work"/ours* "$work"/theirs*
    for ((i = 0; i < ${ROUNDS:-2}; i++)); do
        train_ours ours "$2" "$work/full.jsonl" 0 --base-dtype keep
        train_ours theirs "$model" "$work/full.jsonl" 0 --base-dtype f32
    done
    row "training over $1" tokens/s "$(median <"$work/ours")" "$(best <"$work/ours")" "our f32 base" "$(median <"$work/theirs")" "$(best <"$work/theirs")" 1 "$(limit 0.57)"
    row "training over $1, peak memory" MiB "$(best <"$work/ours.peak")" - "our f32 base" "$(best <"$work/theirs.peak")" - 0
}

"$python" "$here/train_peer.py" rows "$model" 20 full >"$work/full.jsonl"
quietly "$tools/quantize" --to nf4 --double-quant --allow-requantize --quiet -o "$work/nf4" "$model"
base "Q4_1" "$model"
base "NF4" "$work/nf4"
