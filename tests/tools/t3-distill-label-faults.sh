# distill-label against a server that fails a third of the time, killed three times: nothing lost, doubled or misplaced.
# DISTILL_ROWS: how many rows (default 300; the figure in the project's notes is from 2000).
. "$SRC/tests/lib.sh"
. "$SRC/tests/servers/lib.sh"
N=${DISTILL_ROWS:-300} C=16
rows "$N" >rows.jsonl
serve faulty --faults 0.3 --latency 0.02 --log log
run() {
    "$coador" distill-label --teacher openai:m,id=test --base-url "$URL" --schema schema.json --reasoning-key raciocinio --cache cache.jsonl --timeout 1.5 \
        --backoff 0.02 --retries 12 --reasks 6 --max-body 1000000 -c $C --summary summary.json -o out.jsonl rows.jsonl 2>err
}
dir=$("$coador" --exec-path)
for part in 1 2 3; do
    # straight, not through the front end, so that the process killed is the one that asks
    "$dir/distill-label" --teacher openai:m,id=test --base-url "$URL" --schema schema.json --reasoning-key raciocinio --cache cache.jsonl --timeout 1.5 \
        --backoff 0.02 --retries 12 --reasks 6 --max-body 1000000 -c $C -o out.jsonl rows.jsonl 2>err & run_pid=$!
    for _i in $(seq 600); do [ -f cache.jsonl ] && [ "$(wc -l <cache.jsonl)" -ge $((N * part / 5)) ] && break; sleep 0.05; done
    kill -9 $run_pid; wait $run_pid 2>/dev/null
    is "kill $part came in the middle" "$([ "$(wc -l <cache.jsonl)" -lt "$N" ] && [ ! -e out.jsonl ] && echo yes)" yes
done
printf '{"key":"0123' >>cache.jsonl # what a power failure may leave
ok "the fourth run ends" run
cat >check.py <<'P'
import collections, json, sys
sys.path.insert(0, sys.argv[1])
from teacher import FAULTS, label_of
rows = [json.loads(x) for x in open("rows.jsonl")]
out = [json.loads(x) for x in open("out.jsonl")]
print("ids", "ok" if [r["id"] for r in out] == [r["id"] for r in rows] else "bad")
good = [r for r in out if not r.get("error")]
print("placed", "ok" if all(r["parsed"] == {"p": label_of(r["id"])} and r["reasoning"] == "porque " + r["id"] for r in good) else "bad")
print("completion", "ok" if all(json.loads(r["completion"]) == {"raciocinio": r["reasoning"], **r["parsed"]} for r in good) else "bad")
print("labelled", "ok" if len(good) >= 0.99 * len(rows) else f"bad {len(good)}")
answered = collections.Counter()
kinds = collections.Counter()
for line in open("log"):
    kind, name, key, _ = line.split()
    kinds[kind] += 1
    if kind in ("ok", "two", "wrong-label", "prose"):
        answered[key] += 1
repeated = sum(n - 1 for n in answered.values())
print("repeated", "ok" if repeated <= 3 * int(sys.argv[2]) else f"bad {repeated}")
print("faults", "ok" if all(kinds[f] for f in FAULTS) and sum(kinds.values()) - kinds["ok"] > 0.2 * len(rows) else f"bad {kinds}")
print(f"# {len(rows)} rows, {len(good)} labelled, {sum(kinds.values())} requests, {repeated} answers asked for again after three kills", file=sys.stderr)
P
python3 check.py "$SRC/tests/servers" $C >checked 2>figures
cat figures
is "ids in order, each once" "$(sed -n 's/^ids //p' checked)" ok
is "each answer is with its record" "$(sed -n 's/^placed //p' checked)" ok
is "completions hold reasoning and labels" "$(sed -n 's/^completion //p' checked)" ok
is "nearly all are labelled" "$(sed -n 's/^labelled //p' checked)" ok
is "at most the requests under way were repeated" "$(sed -n 's/^repeated //p' checked)" ok
is "every kind of fault came" "$(sed -n 's/^faults //p' checked)" ok
n=$(wc -l <log); cp out.jsonl first.jsonl
ok "once more" run
ok "the same bytes" cmp first.jsonl out.jsonl
is "from the cache alone" "$(wc -l <log)" "$n"
is "and it says so" "$(jq -r .asked summary.json)" 0
done_testing
