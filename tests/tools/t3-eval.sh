# eval: fields from the schema, unparsed answers, pairing by id, pictures, errors
. "$SRC/tests/lib.sh"
cat >schema.json <<'J'
{"type":"object","properties":{"f1":{"type":"object","properties":{"pol":{"enum":["pos","neg"]},"emo":{"enum":["joy","fear","none"]}},"required":["pol","emo"]},
 "f2":{"type":"object","properties":{"pol":{"enum":["pos","neg"]}},"required":["pol"]}},"required":["f1","f2"],"additionalProperties":false}
J
row() { # id article true1 true2 emo | parsed or null
    printf '{"id":"%s","row":{"article":"%s"},"truth":{"f1":{"pol":"%s","emo":"%s"},"f2":{"pol":"%s"}},"parsed":%s}\n' "$1" "$2" "$3" "$5" "$4" "$6"
}
good='{"f1":{"pol":"pos","emo":"joy"},"f2":{"pol":"neg"}}'
{ row a A pos neg joy "$good"; row b A pos pos joy null; row c B neg neg fear '{"f1":{"pol":"neg","emo":"none"},"f2":{"pol":"neg"}}'; row d C pos neg joy '{"f1":{"pol":"maybe","emo":"joy"},"f2":{"pol":"neg"}}'; } >one.jsonl
{ row d C pos neg joy "$good"; row c B neg neg fear '{"f1":{"pol":"neg","emo":"fear"},"f2":{"pol":"neg"}}'; row b A pos pos joy '{"f1":{"pol":"pos","emo":"joy"},"f2":{"pol":"pos"}}'; row a A pos neg joy "$good"; } >two.jsonl

ok "table" "$coador" eval --schema schema.json --cluster article -o table.txt one.jsonl two.jsonl
ok "the pooled group carries the shared name" grep -q '^pol (2 fields pooled)' table.txt
"$coador" eval --schema schema.json --json - one=one.jsonl two=two.jsonl >j.json
is "unparsed counts against accuracy" "$(jq -c '.systems.one.groups.pol.accuracy.value' j.json)" 0.5
is "an answer outside the enum is unparsed in every field" "$(jq -c '.systems.one.groups.pol.confusion' j.json)" '[[1,0,3],[0,3,1]]'
is "valid rate" "$(jq -c '[.systems[].valid_rate.value]' j.json)" '[0.5,1]'
is "rows in another order are paired by id" "$(jq -c '.systems.two.exact.value' j.json)" 1
is "pairs" "$(jq -c '[.pairs[]|[.group,.only_a_right,.only_b_right]]' j.json)" '[[null,0,7],["pol",0,4],["f1.emo",0,3]]'
"$coador" eval --schema schema.json --json - one=one.jsonl two=two.jsonl >again.json
ok "same seed, same bytes" cmp j.json again.json
"$coador" eval --schema schema.json --json - --cluster article one.jsonl >k.json
is "clusters" "$(jq .units k.json)" 3
is "stdin" "$("$coador" eval --schema schema.json --json - <two.jsonl | jq .systems.answers.groups.pol.macro_f1.value)" 1
jq -c 'del(.parsed)' one.jsonl >truth.jsonl; jq -c 'del(.truth)' two.jsonl >blind.jsonl
is "truth from its own file" "$("$coador" eval --schema schema.json --json - --truth truth.jsonl blind.jsonl | jq .systems.blind.exact.value)" 1
jq -c '. + {logprob:-1.5,token_logprobs:[-0.5,-1]} | del(.parsed)' one.jsonl >scored.jsonl
is "perplexity is exp of the mean" "$("$coador" eval --schema schema.json --json - scored.jsonl | jq '.systems.scored.perplexity*1e6|round')" 2117000
printf '{"step":1,"loss":2.0}\n{"step":2,"loss":1.5,"eval_loss":1.6}\n{"step":3,"loss":1}\n' >metrics.jsonl
ok "pictures" "$coador" eval --schema schema.json --svg pics --curve metrics.jsonl one.jsonl
is "files" "$(ls pics | tr '\n' ' ')" "confusion-one-f1_emo.svg confusion-one-pol.svg loss.svg "
ok "well-formed" python3 -c 'import sys,xml.dom.minidom as m; [m.parse(f) for f in sys.argv[1:]]' pics/*.svg
exits "minimum met" 0 '' "$coador" eval --schema schema.json --min macro_f1=1 --min exact=1 two.jsonl
exits "minimum missed" 1 'one: exact is 0.25.*below the minimum' "$coador" eval --schema schema.json --min exact=0.9 one.jsonl
exits "perplexity that is not there misses a minimum" 1 'perplexity' "$coador" eval --schema schema.json --min perplexity=0 one.jsonl

head -3 two.jsonl >short.jsonl
exits "a missing id" 3 'short.jsonl: no record for id a of the reference' "$coador" eval --schema schema.json one.jsonl short.jsonl
{ cat two.jsonl; row z A pos neg joy null; } >more.jsonl
exits "an id too many" 3 'more.jsonl:5: id z is not in the reference' "$coador" eval --schema schema.json one.jsonl more.jsonl
{ cat two.jsonl; head -1 two.jsonl; } >twice.jsonl
exits "an id twice" 3 'twice.jsonl:5: id d stands twice' "$coador" eval --schema schema.json one.jsonl twice.jsonl
exits "an id twice in the only file" 3 'twice.jsonl:5: id d stands twice' "$coador" eval --schema schema.json twice.jsonl
sed 's/"truth":{"f1":{"pol":"neg"/"truth":{"f1":{"pol":"pos"/' two.jsonl >liar.jsonl
exits "another truth" 3 'liar.jsonl:2: truth at f1.pol differs' "$coador" eval --schema schema.json one.jsonl liar.jsonl
sed 's/"neg","emo":"fear"/"bad","emo":"fear"/' truth.jsonl >bad.jsonl
exits "a true label outside the enum" 3 'bad.jsonl:3: truth has no value.*f1.pol' "$coador" eval --schema schema.json bad.jsonl
exits "no cluster field" 3 'one.jsonl:1: no field region' "$coador" eval --schema schema.json --cluster region one.jsonl
exits "no file" 4 'cannot open nothing.jsonl' "$coador" eval --schema schema.json nothing.jsonl
: >empty.jsonl
exits "an empty file" 3 'no record' "$coador" eval --schema schema.json empty.jsonl
echo '{"type":"object"}' >plain.json
exits "a schema without enums" 3 'nothing to score' "$coador" eval --schema plain.json one.jsonl
exits "a full disk" 4 'cannot write' sh -c '"$0" eval --schema schema.json one.jsonl >/dev/full' "$coador"
exits "two names alike" 2 'two systems are called one' "$coador" eval --schema schema.json one.jsonl one.jsonl
exits "a metric that is none" 2 'expected valid_rate' "$coador" eval --schema schema.json --min f2=1 one.jsonl
awk 'BEGIN { for (i = 0; i < 60000; i++) printf "{\"id\":\"row-%d\",\"truth\":{\"f1\":{\"pol\":\"%s\",\"emo\":\"joy\"},\"f2\":{\"pol\":\"neg\"}},\"parsed\":{\"f1\":{\"pol\":\"neg\",\"emo\":\"joy\"},\"f2\":{\"pol\":\"neg\"}}}\n", i, i % 3 ? "neg" : "pos" }' >many.jsonl
is "many rows" "$("$coador" eval --schema schema.json --bootstrap 100 --json - many.jsonl | jq -c '[.rows, .units, .systems.many.groups.pol.confusion]')" '[60000,60000,[[0,20000,0],[0,100000,0]]]'
head -1 many.jsonl >few.jsonl
least=0 # KiB of addresses with which one row can be scored
if ! echo "${SANITIZE:-}" | grep -q address; then
    for least in 20000 40000 80000 160000 320000; do (ulimit -v $least && "$coador" eval --schema schema.json few.jsonl) >few.txt 2>&1 && break; done
fi
if [ -s few.txt ] && grep -q '^1 rows' few.txt; then
    ok "60,000 rows take little more memory than one" sh -c 'ulimit -v $1; exec "$0" eval --schema schema.json --bootstrap 100 many.jsonl >many.txt' "$coador" $((least + 7000))
else
    skip "60,000 rows take little more memory than one" "address space cannot be limited here"
fi
done_testing
