# eval: systems over several seeds, costs, questions, calibration, the report as HTML and Markdown
. "$SRC/tests/lib.sh"
cat >schema.json <<'J'
{"type":"object","properties":{"why":{"type":"string"},"p":{"enum":["pos","neg"]}},"required":["p"],"additionalProperties":false}
J
# answers FILE RIGHT REASON: 40 rows in 20 articles, of which the first RIGHT are right, with a confidence
answers() {
    jq -nc --argjson right "$2" --arg why "$3" 'range(40) | {id:"r\(.)", row:{article:"a\(. / 2 | floor)", p:"text <i>\(.)</i> | *"}, truth:{p:(if . % 2 == 0 then "pos" else "neg" end)},
        parsed:({why:$why, p:(if (. % 2 == 0) == (. < $right) then "pos" else "neg" end)} | if .why == "" then del(.why) else . end),
        confidence:(if . < 20 then 0.9 else 0.4 end), usage:{prompt_tokens:100, completion_tokens:7}}' >"$1"
}
answers t.jsonl 40 ''; answers a1.jsonl 36 'it sounds <b>glad</b> & "good"'; answers a2.jsonl 32 'so'; answers b1.jsonl 22 ''; answers b2.jsonl 20 ''; answers c.jsonl 35 ''
jq -c '. + {reasoning:"the cue is <glad>"} | del(.confidence)' t.jsonl >u && mv u t.jsonl
jq -c 'if .id == "r39" then . + {parsed:null, error:"no JSON in <answer>"} else . end' a2.jsonl >u && mv u a2.jsonl
mkdir run1 run2; head -c 1000 /dev/zero >run1/adapter_model.safetensors; head -c 3000 /dev/zero >run2/adapter_model.safetensors; head -c 5000 /dev/zero >base.gguf
printf '{"step":1,"loss":2,"tokens":100,"tok_s":50}\n{"step":1,"eval_loss":2}\n{"step":2,"loss":1,"tokens":400,"tok_s":100}\n' >run1/metrics.jsonl
printf '{"step":1,"loss":2,"tokens":600,"tok_s":100}\n' >run2/metrics.jsonl
{ cat t.jsonl; echo '{"id":"x","error":"failed"}'; } >rows.jsonl
echo '{"records":41,"cost":0.25}' >summary.json
all() { "$coador" eval --schema schema.json --cluster article --permutations 2000 "$@" T=t.jsonl A@1=a1.jsonl A@2=a2.jsonl B@1=b1.jsonl B@2=b2.jsonl C=c.jsonl; }
about="--about A:rows=rows.jsonl --about A@1:training=run1 --about A@2:training=run2 --about A:model=base.gguf --about A:price=summary.json --about B:rows=20 --about C:bytes=77"

all --json j.json $about --question 'A>B=Does <reasoning> help?' --question 'B>A' --question 'C>A' --teacher T --student A --differing 3 --reasoning-key why --learning 'L=A,B' --title 'T & <T>' --note 'one size' --report r.html --report-md r.md -o r.txt
is "a system's score is the mean of its seeds'" "$(jq -c '[.systems.A.score.value, (.systems.A.runs | map(.score) | add / length)] | (.[0] - .[1] | fabs) < 1e-12' j.json)" true
is "seeds" "$(jq -c '[.systems[] | .runs | map(.seed)]' j.json)" '[[null],["1","2"],["1","2"],[null]]'
is "confusions are sums over seeds" "$(jq -c .systems.A.groups.p.confusion j.json)" '[[34,6,0],[5,34,1]]'
is "one pair each, no McNemar over several seeds" "$(jq -c '[.pairs[] | [.a, .b, has("mcnemar_p")]]' j.json)" '[["T","A",false],["T","B",false],["T","C",true],["A","B",false],["A","C",false],["B","C",false]]'
is "Holm: p times pairs for the least, never less than p" "$(jq -c '.pairs | [(min_by(.permutation_p) | .holm_p == 6 * .permutation_p), all(.holm_p >= .permutation_p)]' j.json)" '[true,true]'
is "facts: rows counted, tokens and seconds of the trainings, bytes of base and adapter, price" "$(jq -c '.systems.A.facts | [.rows, .tokens, .seconds, .bytes, .price, .answer_prompt_tokens, .answer_completion_tokens]' j.json)" '[40,500,5.5,7000,0.25,100,7]'
is "what nobody said is null" "$(jq -c '[.systems.B.facts.tokens, .systems.C.facts.rows, .systems.C.facts.bytes, .systems.T.facts.price]' j.json)" '[null,null,77,null]'
is "yes, and its reverse" "$(jq -c '[.questions[0:2][] | [.answer, .a, .seeds, .seeds_won]]' j.json)" '[["yes","A",2,2],["no, the other way round","B",2,0]]'
is "not decidable" "$(jq -c '.questions[2] | [.answer, .seeds]' j.json)" '["not decidable",0]'
answers a3.jsonl 30 ''; answers b3.jsonl 31 ''
all --json - --question 'A>B' A@3=a3.jsonl B@3=b3.jsonl >s.json
is "clear over the rows, but not with every seed" "$(jq -c '.questions[0] | [.answer, .seeds, .seeds_won, (.holm_p < 0.05)]' s.json)" '["not decidable",3,2,true]'
is "and says so" "$(jq -r '.questions[0].sentence' s.json | grep -c 'higher in 2 of 3 seeds), clear over the rows, but the seeds do not agree')" 1
is "the interval turns with the question" "$(jq -c '.questions | (.[0].difference.low + .[1].difference.high | fabs) < 1e-12' j.json)" true
is "no: the interval ends below the margin" "$(all --json - --margin 0.5 --question 'C>A' | jq -r '.questions[0].sentence')" "$(all --json - --margin 0.5 --question 'C>A' | jq -r '.questions[0].sentence' | grep '^No: if C gains anything over A it is less than the 0.5 that would matter')"
is "calibration" "$(jq -c '.systems.C.calibration | [.items, .without, (.ece * 1e9 | round), (.bins | map(.items))]' j.json)" '[40,0,225000000,[0,0,0,20,0,0,0,0,20,0]]'
is "none without confidences" "$(jq -c .systems.T.calibration j.json)" null
is "rows that differ most, with both reasonings" "$(jq -c '.differing | [.rows_that_differ, (.rows | length), .rows[0].id, .rows[0].teacher.reasoning, .rows[0].student.reasoning, .rows[0].distance]' j.json)" '[8,3,"r36","the cue is <glad>","it sounds <b>glad</b> & \"good\"",1]'
is "learning curve, by rows" "$(jq -c '.learning[0] | [.name, (.points | map([.system, .rows]))]' j.json)" '["L",[["B",20],["A",40]]]'
ok "the answer in the table" grep -q '^Yes: A beats B' r.txt

cat >page.py <<'P'
import html.parser, re, sys
VOID = {"meta", "br", "circle", "path", "polyline"}
class Page(html.parser.HTMLParser):
    stack, seen, text = [], [], ""
    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID: self.stack.append(tag)
    def handle_startendtag(self, tag, attrs): self.seen.append((tag, dict(attrs)))
    def handle_endtag(self, tag):
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes nothing"
    def handle_data(self, data): self.text += data
source = open(sys.argv[1], encoding="utf-8").read()
p = Page(); p.feed(source); p.close()
assert not p.stack, p.stack
tags = {t for t, _ in p.seen}
assert not tags & {"script", "link", "img", "iframe", "b-", "glad", "i", "reasoning", "t"}, tags
for t, a in p.seen: assert not {"src", "href", "xlink:href", "onload"} & set(a), (t, a)
assert not re.search(r"https?:|@import|url\(", source), "reaches for the network"
for want in sys.argv[2:]: assert want in p.text, want
P
ok "the page is sound, needs nothing else, and shows outside text as text" python3 page.py r.html 'T & <T>' 'Does <reasoning> help?' 'Yes: A beats B' 'one size' 'the cue is <glad>' 'it sounds <b>glad</b> & "good"' 'text <i>36</i> | *' 'not given' 'Expected calibration error'
ok "Markdown has the answer" grep -q '^> \*\*Yes: A beats B' r.md
ok "and outside text as text" grep -qF 'text &lt;i\>36&lt;/i\> \| \*' r.md
all --report again.html --report-md again.md --json again.json $about --question 'A>B=Does <reasoning> help?' --question 'B>A' --question 'C>A' --teacher T --student A --differing 3 --reasoning-key why --learning 'L=A,B' --title 'T & <T>' --note 'one size' -o again.txt
ok "same input, same bytes" sh -c 'cmp r.html again.html && cmp r.md again.md && cmp j.json again.json && cmp r.txt again.txt'
"$coador" eval --schema schema.json --report bare.html --report-md bare.md -o bare.txt t.jsonl
ok "without all of it the page says so" python3 page.py bare.html 'There is one system only' 'not given for any system' 'No record carries a confidence' 'No teacher and student were named'
ok "so does Markdown" grep -q 'No record carries a confidence' bare.md
all --svg pics $about --curve A=run1/metrics.jsonl -o t.txt
is "pictures" "$(ls pics | tr '\n' ' ')" "confusion-A-p.svg confusion-B-p.svg confusion-C-p.svg confusion-T-p.svg loss.svg reliability-A.svg reliability-B.svg reliability-C.svg score-bytes.svg score-price.svg score-rows.svg score-seconds.svg score-tokens.svg "
ok "well-formed" python3 -c 'import sys,xml.dom.minidom as m; [m.parse(f) for f in sys.argv[1:]]' pics/*.svg

exits "a seed twice" 2 'two runs are called A@1' "$coador" eval --schema schema.json A@1=a1.jsonl A@1=a2.jsonl
exits "a seed beside none" 2 'two systems are called A' "$coador" eval --schema schema.json A@1=a1.jsonl A=a2.jsonl
exits "no name before @" 2 'expected NAME@SEED=FILE' "$coador" eval --schema schema.json @1=a1.jsonl
exits "a fact about nobody" 2 'no system is called Z' all --about Z:rows=1
exits "a seed that is none" 2 'no system is called A@9' all --about A@9:rows=1
exits "a fact twice" 2 'known already' all --about A:rows=1 --about A@2:rows=2
exits "a fact that is none" 2 'expected rows, training' all --about A:size=1
exits "a negative fact" 2 'a number of at least 0' all --about A:tokens=-1
exits "a fact without =" 2 'expected NAME' all --about A:rows
exits "no such training" 4 'nowhere/metrics.jsonl' all --about A:training=nowhere
exits "a summary without cost" 3 'no number cost' all --about A:price=j.json
exits "metrics without tokens" 3 'no line with tokens' sh -c 'mkdir m && echo "{\"step\":1}" >m/metrics.jsonl && : >m/adapter_model.safetensors && "$0" eval --schema schema.json --about t:training=m t.jsonl' "$coador"
exits "a question about nobody" 2 'expected A>B' all --question 'A>Z'
exits "a question about itself" 2 'expected A>B' all --question 'A>A'
exits "a curve of unknown rows" 2 'the rows of C are not known' all --learning L=A,C $about
exits "a curve of one" 2 'two systems or more' all --learning L=B $about
exits "a teacher alone" 2 'given together' all --teacher T
exits "a student that is none" 2 'no system is called so' all --teacher T --student Z
exits "a teacher from standard input" 2 'read twice' sh -c '"$0" eval --schema schema.json --teacher T --student C T=- C=c.jsonl <t.jsonl' "$coador"
exits "a margin without a question" 2 'needs --question' all --margin 0.1
exits "a title without a report" 2 'need --report' all --title x
sed 's/"confidence":0.9/"confidence":1.5/' c.jsonl >bad.jsonl
exits "a confidence that is none" 3 'bad.jsonl:1: confidence of p is not a number from 0 to 1' "$coador" eval --schema schema.json bad.jsonl
done_testing
