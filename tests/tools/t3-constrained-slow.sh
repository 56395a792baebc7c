# Constrained answers of the untrained model at temperature 1.5, where it wants to write anything but the schema: all valid,
# also to python's jsonschema (PEERS_PYTHON), none over its budget, from the least one up.
# CONSTRAINED_PROMPTS=1000: the full run; here a few.
. "$SRC/tests/lib.sh"
M=$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$M" ] || skip_all "no model (make model)"
total=${CONSTRAINED_PROMPTS:-60}
gen() { "$coador" generate --model "$M" --temperature 1.5 --prefix '' "$@"; }

mkdir schemas
cp "$SRC/pipelines/noticias/schema.json" schemas/labels.json
cat >schemas/reason.json <<'J'
{"type":"object","properties":{"why":{"type":"string","maxLength":200},"n":{"type":"integer","minimum":-5,"maximum":120},"p":{"enum":["yes","no",null]}},
 "required":["why","n","p"],"additionalProperties":false}
J
cat >schemas/list.json <<'J'
{"type":"array","minItems":1,"maxItems":6,"items":{"anyOf":[{"type":"number","minimum":0,"maximum":10},{"type":"boolean"},
 {"type":"object","properties":{"k":{"type":"string","minLength":1,"maxLength":12}},"required":["k"],"additionalProperties":{"type":"null"}}]}}
J
cat >schemas/tree.json <<'J'
{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"name":{"type":"string","pattern":"^[a-z]{2,8}$"},
 "children":{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["name"],"additionalProperties":false}}}
J
cat >schemas/formats.json <<'J'
{"type":"object","properties":{"day":{"type":"string","format":"date"},"id":{"type":"string","format":"uuid"},"host":{"type":"string","format":"ipv4"},
 "code":{"type":"string","pattern":"^[A-Z]{3}-[0-9]{2,4}$"}},"required":["day","id","host","code"],"additionalProperties":false}
J

# Budgets beyond the least: 0, few, enough for some, enough for most.
extra=(0 1 7 30 120)
each=$((total / (5 * ${#extra[@]})))
[ $each -gt 0 ] || each=1
text=("Classifique: o time venceu, choveu, ele morreu." "Write a poem about the sea." "2 + 2 =" "def main():\n" "Die Katze sitzt auf" "{\"a\": [" "Once upon a time" "日本の首都は")
for s in labels reason list tree formats; do
    gen -n 1 --schema schemas/$s.json </dev/null 2>said
    least=$(sed -n 's/.*the shortest answer takes //p' said)
    : >$s.all
    first=0
    for more in "${extra[@]}"; do
        n=$((least + more))
        seq $first $((first + each - 1)) | while read -r i; do printf '{"id":"%s-%d","prompt":"%s %d:","budget":%d,"more":%d}\n' $s "$i" "${text[i % 8]//\"/\\\"}" "$i" $n "$more"; done >q.jsonl
        gen -n $n --seed "$first" --schema schemas/$s.json q.jsonl >>$s.all
        [ "$more" = 120 ] || gen -n $((least + 120)) --seed "$first" --schema schemas/$s.json q.jsonl >>$s.roomy
        first=$((first + each))
    done
    "$coador" parse-json --strict --schema schemas/$s.json $s.all >$s.parsed 2>/dev/null
    is "$s: $first answers, all valid" "$(jq -sc '[length, (map(select(.parsed == null or .error != null)) | length)]' $s.parsed)" "[$first,0]"
    if [ -n "${PEERS_PYTHON:-}" ]; then is "$s: to python's jsonschema, too" "$("$PEERS_PYTHON" "$SRC/tests/oracle/jsonschema_check.py" schemas/$s.json $s.all 2>&1)" ""
    else skip "$s: to python's jsonschema, too" "PEERS_PYTHON is not set"; fi
    is "$s: none over its budget" "$(jq -c 'select(.usage.completion_tokens > .budget) | .id' $s.all)" ""
    is "$s: all end by the schema or of themselves" "$(jq -sc 'map(.finish_reason) | unique - ["schema","stop"]' $s.all)" "[]"
    is "$s: one that ended of itself is the one that more room gives" "$(jq -sc --slurpfile r $s.roomy '[range($r | length) as $i | .[$i] | select(.finish_reason == "stop" and .output != $r[$i].output) | .id]' $s.all)" "[]"
    jq -c --arg s $s '{s: $s, more, finish_reason, tokens: .usage.completion_tokens, calls: .usage.model_calls}' $s.all >>every
done
cut() { jq -sc --argjson m "$1" 'map(select(.more == $m)) | (map(select(.finish_reason == "schema")) | length) * 2 > length' every; }
is "with the least budget most are cut short" "$(cut 0)" true
is "with room most are not" "$(cut 120)" false
jq -src 'group_by(.s)[] | "# \(.[0].s): \(length) answers, \(map(.tokens)|add) tokens, \(map(.calls)|add) model calls, \(map(select(.finish_reason=="schema"))|length) cut short"' every
done_testing
