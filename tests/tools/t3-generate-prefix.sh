# generate over prompts that begin alike: what is computed once, and the same answers as one record at a time
. "$SRC/tests/lib.sh"
export OMP_NUM_THREADS=1 # the model is tiny
tiny=$SRC/tests/data/train/tiny
"$coador" quantize --to nf4 -o nf4 "$tiny" || exit 1
gen() { "$coador" generate -n 12 --temperature 1.5 "$@"; }
rule=$(printf 'Say what it is about. %.0s' 1 2 3 4)
for i in 1 2 3 4 5 6; do printf '{"prompt":"%s%s"}\n' "$rule" "text $i"; done >q.jsonl
cached='.usage.prompt_tokens_details.cached_tokens // 0'
for how in "--model $tiny" "--model nf4" "--model nf4 --compute int8"; do
    gen $how --batch 1 q.jsonl >a.jsonl
    is "$how: cached tokens" "$(jq -c "$cached" a.jsonl | paste -sd' ')" '0 64 64 64 64 64'
    ok "$how: the same bytes in a batch" sh -c '"$@" | cmp - a.jsonl' sh "$coador" generate -n 12 --temperature 1.5 $how --batch 5 --threads 2 q.jsonl
    n=0
    while read -r line; do n=$((n + 1)); { yes '{"error":"x"}' | head -$((n - 1)); echo "$line"; } | gen $how 2>/dev/null | tail -1; done <q.jsonl >alone.jsonl
    is "$how: nothing shared alone" "$(jq -c "$cached" alone.jsonl | sort -u)" 0
    is "$how: the same answers" "$(jq -c .output a.jsonl)" "$(jq -c .output alone.jsonl)"
done
is "an unrelated prompt between" "$(sed '3s/.*/{"prompt":"no"}/' q.jsonl | gen --model "$tiny" | jq -c "$cached" | paste -sd' ')" '0 64 0 64 64 64'
gen --model "$tiny" --max-cached-tokens 128 q.jsonl >b.jsonl
is "the same answers in the least room" "$(jq -c .output b.jsonl)" "$(gen --model "$tiny" q.jsonl | jq -c .output)"
exits "a request is refused as before" 1 '6 of 6 records carry an error' gen --model "$tiny" --max-cached-tokens 96 --max-rejects 0 q.jsonl
done_testing
