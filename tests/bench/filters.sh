# Part of bench.sh: csv2prompt, parse-json with a schema and eval over FILTER_MB megabytes (100) beside Python's csv and json, json
# and jsonschema, scikit-learn (filters_peer.py), by processor seconds, csv2prompt with its two threads by the clock too; then
# FILTER_ROWS records (1,000,000) through each. csv2prompt's peer must write the same bytes.
# eval's table has intervals from its least number of resamples, 100; the peer's has none.
# Floor: counting the file's lines (wc -l).

filter_data() { # filter_data make|rows N: the files in $data, parsed.jsonl among them
    "$python" "$here/filters_peer.py" "$1" "$data" "$2"
    quietly "$tools/parse-json" --schema "$data/schema.json" -o "$data/parsed.jsonl" "$data/answers.jsonl"
}

filter() { # filter NAME KIND FILE PEER COMMAND ...: one row
    local mb ours theirs
    mb=$(stat -c %s "$3" | awk '{print $1 / 1e6}')
    python3 "$here/timed.py" "${ROUNDS:-5}" "${@:5}" -- "$python" "$here/filters_peer.py" "$2" "$data" -- wc -l "$3" >"$work/times" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
    speed() { sed -n "$1p" "$work/times" | jq --argjson mb "$mb" "\$mb / .$2 * 10 | round / 10"; }
    row "$1" MB/s "$(speed 1 cpu)" "$(speed 1 cpu_best)" "$4" "$(speed 2 cpu)" "$(speed 2 cpu_best)" 1 "$(speed 3 cpu_best)"
    [ "$2" = csv ] || return 0
    row "$1, by the clock" MB/s "$(speed 1 wall)" "$(speed 1 wall_best)" "$4" "$(speed 2 wall)" "$(speed 2 wall_best)" 1 "$(speed 3 wall_best)"
    cmp <("${@:5}") <("$python" "$here/filters_peer.py" csv "$data") || { echo "filters.sh: csv2prompt and its peer differ" >&2; exit 1; }
}

filters() { # filters DO: DO is called with a name, a kind, a file, the peer's name, and our command
    "$1" "csv2prompt" csv "$data/news.csv" "Python csv, json" "$tools/csv2prompt" --prompt "$data/prompt.txt" --completion "$data/answer.txt" "$data/news.csv"
    "$1" "parse-json --schema" schema "$data/answers.jsonl" "Python json, jsonschema" "$tools/parse-json" --schema "$data/schema.json" "$data/answers.jsonl"
    "$1" "eval" eval "$data/parsed.jsonl" "scikit-learn" "$tools/eval" --schema "$data/schema.json" --bootstrap 100 "$data/parsed.jsonl"
}

memory() { # as `filter`: the peak
    python3 "$here/timed.py" 1 "${@:5}" 2>/dev/null | jq .peak_mib >>"$work/peaks.$size"
}

data=$work/filters
filter_data make "${FILTER_MB:-100}"
filters filter
rm -rf "$data"
rows=${FILTER_ROWS:-1000000}
for size in many few; do
    filter_data rows "$([ $size = many ] && echo "$rows" || echo $((rows / 10)))"
    filters memory
    rm -rf "$data"
done
i=1
for name in csv2prompt "parse-json --schema" eval; do
    row "$name, peak memory, $rows records" MiB "$(sed -n ${i}p "$work/peaks.many")" - "a tenth of them" "$(sed -n ${i}p "$work/peaks.few")" - 0
    i=$((i + 1))
done
