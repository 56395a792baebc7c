#!/usr/bin/env bash
# How training grows: tokens/s against the length of rows (one a step), against rows a step (64 tokens each), for 1 and 2 threads;
# peak memory against tokens a step. Writes growth-DATE-MACHINE.csv and two pictures (gnuplot) into tests/bench/results.
# usage: [LENGTHS="64 … 8192"] [BATCHES="1 … 64"] [THREADS="1 2"] [STEPS=3] [CLOCK=wall|cpu] plots.sh BUILD FETCHED
# CLOCK=cpu: tokens × threads by processor second, for a machine with other work. The first step is never counted.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=$1/libexec/coador model=$2/SmolLM2-135M-Instruct.Q4_1.gguf
steps=${STEPS:-3}
work=$(mktemp -d "${TMPDIR:-/tmp}/coador-plots-XXXXXX")
trap 'rm -rf "$work"' EXIT
machine=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1 | tr -cs 'A-Za-z0-9' - | sed 's/-$//')
out=$here/results/growth-$(date +%F)-$machine
[ -f "$out.csv" ] || echo "series,threads,length,batch,tokens,tokens_s,clock,peak_mib" >"$out.csv" # a run that was cut short goes on

rows() { # rows LENGTH N: random ids, all trained
    awk -v length_of="$1" -v n="$2" 'BEGIN {
        srand(1)
        for (i = 0; i < n; i++) {
            s = ""
            for (t = 0; t < length_of; t++) s = s (t ? "," : "") int(rand() * 49000)
            print "{\"input_ids\":[" s "],\"labels\":[" s "]}"
        }
    }' >"$work/rows"
}

train() { # train THREADS BATCH STEPS: processor seconds and peak of the run on $work/rows
    python3 "$here/timed.py" 1 "$tools/lora-train" --model "$model" --rank 16 --alpha 64 --dropout 0 --batch "$2" --accumulation 1 --max-steps "$3" --threads "$1" \
        --set logging_steps=1 --no-shuffle --lr 1e-4 --overwrite --quiet -o "$work/adapter" "$work/rows" >"$work/run" || exit 1
}

point() { # point SERIES THREADS LENGTH BATCH
    local tokens=$(($3 * $4)) speed one
    ! grep -q "^$1,$2,$3,$4," "$out.csv" || return 0
    rows "$3" $(($4 * (steps + 1)))
    if [ "${CLOCK:-wall}" = cpu ]; then
        train "$2" "$4" 1
        one=$(jq .cpu "$work/run")
        train "$2" "$4" $((steps + 1))
        speed=$(jq --argjson one "$one" --argjson n "$((tokens * steps * $2))" '$n / (.cpu - $one) * 10 | round / 10' "$work/run")
    else
        train "$2" "$4" $((steps + 1))
        speed=$(jq -s 'map(select(.step > 1) | .tok_s) | sort | .[length / 2 | floor]' "$work/adapter/metrics.jsonl")
    fi
    echo "$1,$2,$3,$4,$tokens,$speed,${CLOCK:-wall},$(jq .peak_mib "$work/run")" | tee -a "$out.csv"
}

for threads in ${THREADS:-1 2}; do
    for length in ${LENGTHS:-64 128 256 512 1024 2048 4096 8192}; do point length "$threads" "$length" 1; done
    for batch in ${BATCHES:-1 2 4 8 16 32 64}; do point batch "$threads" 64 "$batch"; done
done

draw() { # draw FILE TITLE X Y COLUMN: a curve for each series and number of threads
    {
        printf 'set terminal svg size 640,400 font "sans,12"\nset output "%s"\nset datafile separator ","\nset title "%s"\nset xlabel "%s"\nset ylabel "%s"\n' "$1" "$2" "$3" "$4"
        printf 'set logscale x 2\nset key below\nset yrange [0:*]\nset grid\nplot'
        for s in length batch; do
            for t in ${THREADS:-1 2}; do
                printf ' "< grep ^%s,%s, %s" using 5:%s with linespoints title "%s, threads: %s",' "$s" "$t" "$out.csv" "$5" "$([ $s = length ] && echo "one row" || echo "rows of 64")" "$t"
            done
        done
        echo
    } | sed 's/,$//' | gnuplot
}
draw "$out-speed.svg" "Training SmolLM2-135M: speed" "tokens a step" "tokens/s" 6
draw "$out-memory.svg" "Training SmolLM2-135M: peak memory" "tokens a step" "MiB" 8
