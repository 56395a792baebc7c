#!/bin/sh
# Who beats whom over all seeds, at what cost, and does the reasoning help:
#     report.sh MODEL "TEACHER_SEED..." "SEED..." coador eval OPTION...
set -euf
model=$1 teachers=$2 seeds=$3
shift 3

# What the teachers cost together: the tokens of a training run up from step to step, each at its step's tokens a second.
training=$(for t in $teachers; do
    jq -s 'map(select(.tok_s)) | [last.tokens, ([., [{tokens: 0}] + .[:-1]] | transpose | map((.[0].tokens - .[1].tokens) / .[0].tok_s) | add)]' "teachers/$t/metrics.jsonl"
done | jq -rs 'transpose | "\(.[0] | add) \(.[1] | add)"')
bytes=$({ find -L "$model" -type f -exec cat {} +; for t in $teachers; do cat "teachers/$t/adapter_model.safetensors"; done; } | wc -c)

set -- "$@" --title "Does the teacher's reasoning help its student?" \
    --note "Teacher and students share one size here, $(basename "$model"): this is what reasoning is worth to a student, not what a larger teacher is." \
    --note "The teacher is the vote of $(echo "$teachers" | wc -w) models tuned with gold labels on other articles than the students'. Nobody was trained on the articles scored here." \
    --question "reasoning>labels=Does training on the teacher's reasoning and labels beat training on its labels alone?" \
    --question "two-tasks>labels=Does the reasoning as a second task beat the labels alone?" \
    --question "soft>reasoning=Do the teacher's soft labels add to its reasoning and labels?" \
    --teacher teacher --student reasoning --reasoning-key reasoning \
    --about teacher:rows=teacher-rows.jsonl --about "teacher:tokens=${training% *}" --about "teacher:seconds=${training#* }" --about "teacher:bytes=$bytes"
student() { # NAME ROWS: what it learnt from
    for seed in $seeds; do
        printf '%s\n' --about "$1@$seed:training=students/$1-$seed" "$1@$seed=answers/$1-$seed.jsonl"
    done
    printf '%s\n' --about "$1:rows=$2" --about "$1:model=$model" --curve "$1=students/$1-${seeds%% *}/metrics.jsonl"
    [ "$1" = gold ] || printf '%s\n' --about "$1:price=label-summary.json"
}
untrained() { # NAME
    for cost in rows tokens seconds; do printf '%s\n' --about "$1:$cost=0"; done
    printf '%s\n' --about "$1:model=$model" "$1=answers/$1.jsonl"
}
systems=$(student reasoning reasoned.jsonl; student labels labelled.jsonl; student two-tasks labelled.jsonl
    student soft reasoned.jsonl; student gold gold-rows.jsonl; untrained few-shot; untrained zero-shot)
IFS='
'
exec "$@" $systems teacher=answers/teacher.jsonl
