#!/bin/sh
# Who beats whom over all seeds, at what cost, and does the reasoning help: report.sh TEACHER MODEL "SEED..." coador eval OPTION...
set -euf
teacher=$1 model=$2 seeds=$3
shift 3
set -- "$@" --title "O raciocínio do professor ajuda o aluno?" \
    --question "reasoning>labels=Does training on the teacher's reasoning and labels beat training on its labels alone?" \
    --teacher teacher --student reasoning --reasoning-key raciocinio
case $teacher in
local:*) set -- "$@" --about teacher:training=professor --about teacher:rows=teacher-rows.jsonl --about "teacher:model=$model" \
    --note "Teacher and students share one size here, $(basename "$model"): this is what reasoning is worth to a student, not what a larger teacher is." ;;
*) set -- "$@" --about "teacher:note=$teacher" ;;
esac
student() { # NAME ROWS: what it learnt from
    for seed in $seeds; do
        printf '%s\n' --about "$1@$seed:training=students/$1-$seed" "$1@$seed=answers/$1-$seed.jsonl"
    done
    printf '%s\n' --about "$1:rows=$2" --about "$1:model=$model" --curve "$1=students/$1-${seeds%% *}/metrics.jsonl"
    [ "$1" = gold ] || printf '%s\n' --about "$1:price=label-summary.json"
}
systems=$(student reasoning reasoned.jsonl; student labels labelled.jsonl; student gold gold-rows.jsonl)
IFS='
'
exec "$@" $systems --about zero-shot:rows=0 --about zero-shot:tokens=0 --about zero-shot:seconds=0 --about "zero-shot:model=$model" \
    zero-shot=answers/zero-shot.jsonl teacher=answers/teacher.jsonl
