# Part of bench.sh: training beside transformers + PEFT in fp32 (train_run.sh).
. "$here/train_run.sh"

training() { # training NAME DROPOUT ROWS GFLOP_A_TOKEN
    rm -f "$work"/ours* "$work"/theirs*
    for ((i = 0; i < ${ROUNDS:-2}; i++)); do
        train_ours ours "$model" "$3" "$2"
        train_peer "$3" "$2"
    done
    row "$1" tokens/s "$(median <"$work/ours")" "$(best <"$work/ours")" "transformers + PEFT fp32" "$(median <"$work/theirs")" "$(best <"$work/theirs")" 1 "$(limit "$4")"
    row "$1, peak memory" MiB "$(best <"$work/ours.peak")" - "transformers + PEFT fp32" "$(best <"$work/theirs.peak")" - 0
}

for kind in full ragged third; do "$python" "$here/train_peer.py" rows "$model" 20 $kind >"$work/$kind.jsonl"; done
training "training 4 x 256, dropout 0" 0 "$work/full.jsonl" 0.57
training "training 4 x 256, dropout 0.1" 0.1 "$work/full.jsonl" 0.57
training "training 4 ragged rows of mean 180" 0 "$work/ragged.jsonl" 0.57
training "training 4 x 256, completion-only, a third trained" 0 "$work/third.jsonl" 0.494
