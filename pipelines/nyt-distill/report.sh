#!/bin/sh
# Scores of all systems over their seeds: report.sh MODEL "TEACHER_SEED..." "SEED..."
set -eu
model=$1 teachers=$2 seeds=$3
set -- --schema scored.json --cluster article --json scores.json -o scores.txt
for student in reasoning labels gold; do
    for seed in $seeds; do set -- "$@" "$student@$seed=answers/$student-$seed.jsonl"; done
done
coador eval "$@" teacher=answers/teacher.jsonl few-shot=answers/few.jsonl zero-shot=answers/zero.jsonl
