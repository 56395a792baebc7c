#!/bin/bash
# parse-json: records in, the same records out with parsed and repairs; rejects; strict; a round trip over odd records.
. "$SRC/tests/lib.sh"
pj() { "$coador" parse-json "$@"; }

cat >s.json <<'E'
{"type": "object", "required": ["f1"], "additionalProperties": false,
 "properties": {"f1": {"type": "object", "required": ["polaridade"], "properties": {"polaridade": {"enum": ["Positivo", "Negativo", "Neutro"]}}}}}
E
cat >in.jsonl <<'E'
{ "id" : 1 , "row":{"a" : 1.50,"b":"\u00e9"} ,"output":" {\"f1\": {\"polaridade\": \"Positivo\"}} " , "z":[ ]}
{"id":"2","output":"Claro!\n```json\n{'f1': {'polaridade': 'Neutro',}}\n```","parsed":"old","repairs":["old"]}
{"id":"3","output":"{\"f1\": {\"polaridade\": \"positivo\"}}","finish_reason":"stop"}
{"id":"4","output":"{\"f1\": {\"polaridade\": \"Negativo\"","finish_reason":"length"}
{"id":"5","output":"não sei","repairs":["old"]}
{"id":"6","output":"{\"f1\": {\"polaridade\": \"Neutro\"}}","error":"HTTP 500"}
{"id":"7","output":"{\"f1\": {\"polaridade\": \"Neutro\"}}","error":null}
{"id":"8"}
{"id":"9","output":["x"]}
E
cat >expected.jsonl <<'E'
{ "id" : 1 , "row":{"a" : 1.50,"b":"\u00e9"} ,"output":" {\"f1\": {\"polaridade\": \"Positivo\"}} " , "z":[ ],"parsed":{"f1":{"polaridade":"Positivo"}},"repairs":[]}
{"id":"2","output":"Claro!\n```json\n{'f1': {'polaridade': 'Neutro',}}\n```","parsed":{"f1":{"polaridade":"Neutro"}},"repairs":["fence","single_quotes","trailing_comma"]}
{"id":"3","output":"{\"f1\": {\"polaridade\": \"positivo\"}}","finish_reason":"stop","parsed":null,"error":"output: at /f1/polaridade: expected one of \"Positivo\", \"Negativo\", \"Neutro\", got \"positivo\""}
{"id":"4","output":"{\"f1\": {\"polaridade\": \"Negativo\"","finish_reason":"length","parsed":{"f1":{"polaridade":"Negativo"}},"repairs":["cut_end"]}
{"id":"5","output":"não sei","parsed":null,"error":"output: no JSON object or array in the text"}
{"id":"6","output":"{\"f1\": {\"polaridade\": \"Neutro\"}}","error":"HTTP 500","parsed":null}
{"id":"7","output":"{\"f1\": {\"polaridade\": \"Neutro\"}}","error":null,"parsed":{"f1":{"polaridade":"Neutro"}},"repairs":[]}
{"id":"8","parsed":null,"error":"no field output"}
{"id":"9","output":["x"],"parsed":null,"error":"field output is no string"}
E
pj --schema s.json --rejects bad.jsonl in.jsonl >out.jsonl 2>err.txt
is 'without --max-rejects any number may fail' $? 0
ok 'records' cmp out.jsonl expected.jsonl
is 'the summary' "$(cat err.txt)" 'parse-json: 9 records: 4 valid (2 not as they stood: fence 1, single_quotes 1, trailing_comma 1, cut_end 1), 5 rejected'
ok 'rejects are the failed records as they go out' sh -c "grep '\"parsed\":null' out.jsonl | cmp - bad.jsonl"
is 'standard input, also as -' "$(pj --schema s.json <in.jsonl 2>/dev/null | cksum; pj --schema s.json - <in.jsonl 2>/dev/null | cksum)" "$(cksum <out.jsonl; cksum <out.jsonl)"
pj --schema s.json -o o.jsonl in.jsonl 2>/dev/null
ok '-o' cmp o.jsonl out.jsonl
pj --schema s.json out.jsonl 2>/dev/null | grep -c '"parsed":null' >n
is 'what failed stays failed' "$(cat n)" 5
is 'a second run over good records changes nothing' "$(pj --schema s.json out.jsonl 2>/dev/null | grep -v '"parsed":null' | cksum)" "$(grep -v '"parsed":null' out.jsonl | cksum)"
is '--strict' "$(pj --schema s.json --strict in.jsonl 2>/dev/null | grep -v '"parsed":null')" "$(grep '"repairs":\[\]' expected.jsonl)"
is '--strict says where' "$(pj --schema s.json --strict in.jsonl 2>/dev/null | sed -n '4s/.*"error"://p')" '"output: not JSON: line 1 column 33: text ends inside an object"}'
is '--field' "$(echo '{"id":1,"answer":"{f1:{polaridade:\"Neutro\"}}"}' | pj --schema s.json --field answer 2>/dev/null)" \
    '{"id":1,"answer":"{f1:{polaridade:\"Neutro\"}}","parsed":{"f1":{"polaridade":"Neutro"}},"repairs":["bare_keys"]}'
exits '--max-rejects missed' 1 'more than 4 rejected' "$coador" parse-json --schema s.json --max-rejects 4 -o m.jsonl in.jsonl
ok 'the output is whole all the same' cmp m.jsonl out.jsonl
exits '--max-rejects held' 0 '5 rejected' "$coador" parse-json --schema s.json --max-rejects 5 in.jsonl
exits '--max-rejects 0 without a failure' 0 '1 valid, 0 rejected' sh -c 'head -1 in.jsonl | "$0" parse-json --schema s.json --max-rejects 0' "$coador"
exits 'no records' 0 '^parse-json: 0 records: 0 valid, 0 rejected$' sh -c '"$0" parse-json --schema s.json </dev/null' "$coador"
: >none.json; echo true >any.json
is 'numbers stay as they stood' "$(echo '{"output":"[1.50, 1e2, 123456789012345678901234567890, -0]"}' | pj --schema any.json 2>/dev/null)" \
    '{"output":"[1.50, 1e2, 123456789012345678901234567890, -0]","parsed":[1.50,1e2,123456789012345678901234567890,-0],"repairs":[]}'

# --- the page's example ---
if command -v mandoc >/dev/null; then
    mandoc -Tutf8 -O width=200 "$SRC/man/coador-parse-json.1" | sed 's/.\x08//g' >page.txt
    sed -n '/^ *\$ echo/,/^ *coador parse-json/p' page.txt | sed 's/^ *\$ //; s/coador parse-json/"$coador" parse-json/' >example.sh
    . ./example.sh >example.out 2>&1
    is 'the example has its two lines of output' "$(wc -l <example.out)" 2
    while read -r line; do ok "in the page: ${line%%:*}" grep -qF -- "$line" page.txt; done <example.out
else
    skip 'the example of the page' 'no mandoc'
fi

# --- the same, said by python's json, over records that python wrote ---
if command -v python3 >/dev/null; then
    cat >make.py <<'E'
import json, random, sys
rng = random.Random(7)
def value(depth):
    kind = rng.randrange(7 if depth else 5)
    if kind == 5: return [value(depth - 1) for _ in range(rng.randrange(4))]
    if kind == 6: return {rng.choice("abcdé'\"`") * rng.randrange(1, 3): value(depth - 1) for _ in range(rng.randrange(4))}
    return [None, True, rng.randrange(-10**6, 10**30), rng.random() * 10 ** rng.randrange(-5, 9),
            "".join(rng.choice("ab é'\"\\\n\t{}[],:`“”😀/\0") for _ in range(rng.randrange(9)))][kind]
for i in range(500):
    v = value(3)
    if i % 3 == 1: v = {"k": v}
    text = [json.dumps(v), json.dumps(v, ensure_ascii=False, indent=1), "```json\n%s\n```" % json.dumps({"k": v})][i % 3]
    json.dump({"id": i, "output": text, "want": v if i % 3 < 2 else {"k": v}, "plain": i % 3 < 2}, sys.stdout, ensure_ascii=i % 2 == 0)
    print()
E
    cat >same.py <<'E'
import json, sys
n = 0
for line in sys.stdin:
    r = json.loads(line)
    assert r["parsed"] == r["want"], line
    assert r["repairs"] == ([] if r["plain"] else ["fence"]), line
    n += 1
assert n == 500, n
E
    python3 make.py >py.jsonl
    ok 'valid JSON in 500 records is taken as python reads it' sh -c '"$0" parse-json --schema any.json py.jsonl | python3 same.py' "$coador"
else
    skip 'valid JSON in 500 records is taken as python reads it' 'no python3'
fi
cat >more.json <<'E'
{"type":"object","properties":{"d":{"format":"date"},"c":{"format":"color"}},"dependentRequired":{"d":["c"]},"propertyOrder":["d"],"unevaluatedProperties":false}
E
echo '{"output":"{\"d\":\"today\",\"c\":\"red\"}"}' >more.jsonl
exits 'an unknown format' 3 'format "color" is not supported' pj --schema more.json more.jsonl
is 'passed over: the date is checked' "$(pj --unknown-keywords annotate --schema more.json more.jsonl 2>/dev/null | jq -r .error)" 'output: at /d: expected format "date", got "today"'
is 'formats passed over' "$(pj --unknown-keywords annotate --format annotate --schema more.json more.jsonl 2>/dev/null | jq -c .parsed)" '{"d":"today","c":"red"}'
is 'a member that another needs' "$(echo '{"output":"{\"d\":\"2026-01-01\"}"}' | pj --unknown-keywords annotate --schema more.json 2>/dev/null | jq -r .error)" 'output: at the top level: missing member "c"'
is 'a member that no schema evaluates' "$(echo '{"output":"{\"e\":1}"}' | pj --unknown-keywords annotate --schema more.json 2>/dev/null | jq -r .error)" 'output: at the top level: unexpected member "e"'
done_testing
