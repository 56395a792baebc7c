#!/usr/bin/env bash
# Draws the rows "length N, TYPE" that cuda.sh printed into FILE: tokens/s against the length of sequences, 16,384 tokens a step, one
# curve a type. Writes FILE with .svg for its ending (gnuplot).
# usage: cuda_plot.sh FILE.jsonl
set -euo pipefail
picture=${1%.*}-lengths.svg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -n 's/^{"work":"length \([0-9]*\), \([a-z0-9]*\)","tok_s":\([0-9]*\),.*/\1 \3 \2/p' "$1" >"$work/points"
[ -s "$work/points" ] || { echo "cuda_plot.sh: no rows of lengths in $1" >&2; exit 2; }
card=$(sed -n 's/.*"card":"\([^"]*\)".*/\1/p' "$1" | head -1)
{
    printf 'set terminal svg size 640,400 font "sans,12"\nset output "%s"\nset title "LoRA of a Llama-3.2-1B shape on one %s, 16,384 tokens a step"\n' "$picture" "$card"
    printf 'set xlabel "tokens a sequence"\nset ylabel "tokens/s"\nset logscale x 2\nset xtics (256, 512, 1024, 2048, 4096, 8192, 16384)\nset format y "%%.0f"\nset yrange [0:*]\nset xrange [224:18400]\nset key below\nset grid\nplot'
    cut -d' ' -f3 "$work/points" | sort -u | while read -r type; do
        printf ' "< grep %s$ %s" using 1:2 with linespoints title "%s",' "$type" "$work/points" "$type"
    done
    echo
} | sed 's/,$//' | gnuplot
echo "$picture"
