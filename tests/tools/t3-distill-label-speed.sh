# distill-label keeps its slots full: latency 0.2 s, 64 at once, within 1.3 x the ideal time, with every answer synced.
# DISTILL_ROWS: how many rows (default 640: ideal 2 s; 2000: 6.4 s).
. "$SRC/tests/lib.sh"
. "$SRC/tests/servers/lib.sh"
N=${DISTILL_ROWS:-640} C=64
rows "$N" >rows.jsonl
serve alone
alone=$(python3 "$SRC/tests/servers/load.py" "$PORT" "$N" $C)
ideal=$(awk "BEGIN { print $N / $C * 0.2 }")
load=$(cut -d' ' -f1 /proc/loadavg)
echo "# the server alone: $N answers in $alone s; ideal with latency: $ideal s; load $load"
if awk "BEGIN { exit !($alone > $ideal / 2) }"; then
    skip "within 1.3 x the ideal time" "the server alone does not sustain twice the rate on this machine now"
    done_testing
    exit
fi
serve slow --latency 0.2 --log log
t0=$(date +%s.%N)
ok "labels" label --teacher openai:m --base-url "$URL" --reasoning-key raciocinio -c $C --cache cache.jsonl -o out.jsonl rows.jsonl
took=$(awk "BEGIN { print $(date +%s.%N) - $t0 }")
echo "# distill-label: $took s, $(awk "BEGIN { print $took / $ideal }") x the ideal"
is "all are labelled" "$(jq -r .parsed.p out.jsonl | grep -c .)" "$N"
is "--concurrency is used in full and never passed" "$(tail -1 log | cut -d' ' -f4)" $C
if awk "BEGIN { exit !($load > 4) }" && ! awk "BEGIN { exit !($took <= 1.3 * $ideal) }"; then
    skip "within 1.3 x the ideal time" "load $load: the machine is busy with other work"
else
    ok "within 1.3 x the ideal time" awk "BEGIN { exit !($took <= 1.3 * $ideal) }"
fi
done_testing
