# generate under a schema, a pattern, choices: on a tiny model of random weights, whose every byte is a token
. "$SRC/tests/lib.sh"
export OMP_NUM_THREADS=1 # the model is tiny
gen() { "$coador" generate --model "$SRC/tests/data/train/tiny" --temperature 1.5 "$@"; }
schema=$SRC/pipelines/noticias/schema.json
seq 300 | sed 's/.*/{"id":"&","prompt":"q &"}/' >q.jsonl
report() { jq -sc '[length, (map(select(.parsed != null))|length), (map(.usage.completion_tokens)|max), (map(.finish_reason)|unique)]'; }

exits "a budget below the shortest answer" 3 'too few: the shortest answer takes [0-9]+' gen -n 100 --schema "$schema" q.jsonl
least=$(sed 's/.* takes //' "$T/.err")
gen -n "$least" --schema "$schema" q.jsonl | "$coador" parse-json --strict --schema "$schema" >a.jsonl
is "all valid within the shortest, which leaves no choice but among equals" "$(report <a.jsonl)" "[300,300,$least,[\"schema\"]]"
gen -n 240 --schema "$schema" q.jsonl | "$coador" parse-json --strict --schema "$schema" >b.jsonl
is "all valid with room" "$(report <b.jsonl | jq -c '[.[0],.[1],.[3]]')" '[300,300,["stop"]]'
is "the labels differ" "$(jq -c .parsed b.jsonl | sort -u | wc -l | awk '{print ($1 > 200)}')" 1
is "most tokens come without the model" "$(jq -s 'map(.usage.model_calls)|add < 30*300' b.jsonl)" true
is "batches make no difference" "$(gen -n 240 --batch 1 --schema "$schema" q.jsonl | head -50 | sha256sum)" "$(gen -n 240 --batch 7 --schema "$schema" q.jsonl | head -50 | sha256sum)"

cat >open.json <<'J'
{"type":"object","properties":{"why":{"type":"string"},"n":{"type":"integer","minimum":-5,"maximum":12},"list":{"type":"array","items":{"enum":["x","yy",null]},"maxItems":3}},
 "required":["why","n"],"additionalProperties":false}
J
for n in 18 19 25 60; do
    gen -n $n --schema open.json q.jsonl | "$coador" parse-json --strict --schema open.json >c.jsonl
    is "all valid in $n tokens" "$(report <c.jsonl | jq -c --argjson n $n '[.[0],.[1],(.[2]<=$n)]')" '[300,300,true]'
done
is "answers cut short say so" "$(jq -sc 'map(.finish_reason)|unique' c.jsonl)" '["schema","stop"]'
gen -n 60 --whitespace python --prefix '' --schema open.json q.jsonl >p.jsonl
is "python's white space" "$(jq -r .output p.jsonl | grep -cvE '^\{"why": ".*", "n": -?[0-9]+(, "list": \[.*\])?\}$')" 0
gen -n 120 --whitespace bounded --schema open.json q.jsonl | "$coador" parse-json --strict --schema open.json >w.jsonl
is "white space where JSON allows it" "$(report <w.jsonl | jq -c '[.[0],.[1]]')" '[300,300]'

cat >tangled.json <<'J'
{"anyOf":[{"type":"object","properties":{"k":{"const":1},"s":{"type":"string","pattern":"^(x|y[ab]*a[ab]{13}c)$","not":{"pattern":"^y[ab]*a[ab]{13}[cd]$"}}},"required":["k","s"],"additionalProperties":false},
 {"type":"object","properties":{"k":{"const":2},"s":{"enum":["u","v"]}},"required":["k","s"],"additionalProperties":false}]}
J
head -30 q.jsonl | gen -n 60 --schema tangled.json >t.jsonl 2>t.err
is "a record whose search goes beyond its budget says so, and no other fails" "$(jq -sc '[length, (map(.error // .output | sub(".*went beyond its budget"; "budget") | sub("[uv]\"}"; "") | sub("^ "; ""))|unique)]' t.jsonl)" '[30,["budget","{\"k\":2,\"s\":\""]]'
cat >any.json <<'J'
{"type":"object","propertyNames":{"pattern":"^[ab]+$"},"additionalProperties":{"enum":[1,2]},"minProperties":4,"maxProperties":5}
J
gen -n 100 --schema any.json q.jsonl | "$coador" parse-json --strict --schema any.json >any.jsonl
is "members that no schema names have names of their own" "$(report <any.jsonl | jq -c '[.[0],.[1]]')" '[300,300]'
is "a pattern" "$(gen -n 9 --prefix '' --regex '[ab]{2}-\d+(x|yz)?' q.jsonl | jq -r .output | grep -cvE '^[ab]{2}-[0-9]+(x|yz)?$')" 0
is "choices" "$(gen -n 9 --prefix ' ' --choice 'sim,não' --choice talvez q.jsonl | jq -r .output | sort -u | tr '\n' '|')" ' não| sim| talvez|'
is "choices with commas and backslashes" "$(gen -n 9 --prefix '' --choice 'a\,b,c\\d' q.jsonl | jq -r .output | sort -u | tr '\n' '|')" 'a,b|c\d|'
is "choices that begin alike" "$(gen -n 9 --prefix '' --choice 'a,ab,abc' q.jsonl | jq -r .output | sort -u | tr '\n' '|')" 'a|ab|abc|'
printf '# two lists\nroot ::= ("- " item)+ | none\nitem ::= [^\\n]{1,3} "\\n"\nnone ::= "\\u2205"\n' >list.gbnf
is "a grammar" "$(gen -n 20 --prefix '' --gbnf list.gbnf q.jsonl | jq -c 'select(.output|test("^((- [^\n]{1,3}\n)+|∅)$")|not)' | wc -l)" 0
is "whose answers differ" "$(gen -n 20 --prefix '' --gbnf list.gbnf q.jsonl | jq -r .finish_reason | sort -u | tr '\n' '|')" 'schema|stop|'
is "an answer that leaves no choice needs no model" "$(head -1 q.jsonl | gen -n 9 --prefix '' --choice sim | jq -c '[.output,.finish_reason,.usage.model_calls]')" '["sim","stop",0]'

# before the weights: the model does not even exist
bad() { exits "$1" 3 "$2" "$coador" generate --model nothing "$3" "$4" q.jsonl; }
echo '{"type":"array","uniqueItems":true}' >unique.json
echo '{"properties":{"a":{"oneOf":[{"type":"integer"},{"minimum":3}]}}}' >one.json
echo '{"type":' >cut.json
echo '{"type":"object","properties":{"a":false},"required":["a"]}' >never.json
bad "a keyword that cannot be kept" 'unique.json: at #: uniqueItems: cannot be kept' --schema unique.json
bad "a oneOf that is not exclusive" 'one.json: at #/properties/a: oneOf: branches 0 and 1 may hold together' --schema one.json
bad "a broken schema" 'cut.json:2: column 1: text ends' --schema cut.json
bad "a schema that nothing fits" 'never.json: no answer fits' --schema never.json
bad "a broken pattern" 'regular expression a\(b: a group has no end' --regex 'a(b'
echo '{"type":"array","uniqueItems":true,"items":{"enum":[1,2]},"minItems":2,"maxItems":3,"contains":{"const":1},"minContains":2}' >twice.json
bad "two keywords at odds" 'twice.json: at #: uniqueItems: cannot be kept' --schema twice.json
is "left out on demand, told, and the answer checked" "$(head -40 q.jsonl | gen -n 9 --prefix '' --schema-lenient --schema twice.json | jq -c '[.not_enforced,.error!=null,.output!=null]' | sort -u | tr -d '\n')" '[["at #: uniqueItems: cannot be kept but of few listed values"],true,false]'
echo '{"type":"array","uniqueItems":true,"items":{"enum":["a","b","c"]},"minItems":2}' >set.json
is "a set" "$(gen -n 20 --prefix '' --schema-lenient --schema set.json q.jsonl | jq -c '[.not_enforced,.error,(.output|fromjson|length==(unique|length))]' | sort -u)" '[[],null,true]'
echo '{"type":"object","propertyOrder":1}' >unknown.json
printf 'root ::= "a" x\nx ::= [a\n' >bad.gbnf
bad "a broken grammar" 'bad.gbnf:2: a class has no end' --gbnf bad.gbnf
bad "a keyword that nobody knows" 'keyword "propertyOrder" is not supported' --schema unknown.json
is "or passed over" "$(head -1 q.jsonl | gen -n 9 --prefix '' --unknown-keywords annotate --schema unknown.json | jq .error)" null
exits "no schema file" 4 'cannot open none.json' gen --schema none.json q.jsonl
exits "two kinds at once" 2 'exclude each other' gen --schema open.json --regex a q.jsonl
exits "an empty choice" 2 'an empty text' gen --choice 'a,,b' q.jsonl
exits "grammar and records from one input" 2 'named twice' gen --gbnf - -
exits "stop strings" 2 'would cut a constrained answer' gen --schema open.json --stop x q.jsonl
exits "white space without a schema" 2 'has no meaning' gen --whitespace python q.jsonl
exits "a prefix of nothing" 2 'has no meaning' gen --prefix x q.jsonl
done_testing
