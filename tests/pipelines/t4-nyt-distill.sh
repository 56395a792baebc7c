# pipelines/nyt-distill from end to end on a tiny model and made-up articles: who learns what, what a rerun and a changed template cost.
. "$SRC/tests/lib.sh" || exit 1
command -v python3 >/dev/null || skip_all 'python3 is not installed'
unset MAKEFLAGS MAKELEVEL
export OMP_NUM_THREADS=1
mkdir pipelines && cp -r "$SRC/pipelines/nyt" pipelines/ && mkdir pipelines/nyt-distill
for f in "$SRC"/pipelines/nyt-distill/*; do # the folder without what a run of it left there
    case $f in *.jsonl | *.csv | */answers | */students | */teachers | */pictures | *.zst | */scores.* | */report.html | */report.md) ;; *) cp -r "$f" pipelines/nyt-distill/ ;; esac
done
cp -r "$SRC/tests/data/train/tiny" model && jq '.max_position_embeddings = 2048' "$SRC/tests/data/train/tiny/config.json" >model/config.json
awk 'BEGIN { split("A good day,A bad crash,The table", s, ","); split("2 -2 0", m, " ")
    for (a = 1; a <= 24; a++) for (i = 1; i <= 3; i++) printf "%d_%d\t%s\t%s %d.%d\n", a, i, m[(a + i) % 3 + 1], s[(a + i) % 3 + 1], a, i }' >snippets
printf 'good\t1.9\nbad\t-2.5\ncrash\t-1.7\n:)\t2\n' >vader_lexicon.txt
# the tiny model has no chat template, and a token a byte
cat >tiny.yaml <<'E2'
stages:
  zero-answers:
    cmd: coador generate --model ${model} --schema ../nyt/schema.json --max-new-tokens ${label_tokens} zero-rows.jsonl | coador parse-json --schema ../nyt/schema.json -o answers/zero-shot.jsonl
    deps: ["${model}", zero-rows.jsonl, ../nyt/schema.json]
    outs: [answers/zero-shot.jsonl]
E2
vars="model=../../model snippets=../../snippets vader=../.. rows=6 test_rows=5 seeds=[1] teachers=[11,12] shots=1 tokens=120 label_tokens=64"
args() { for v in $vars; do printf -- '--set\n%s\n' "$v"; done; }
run() { args | xargs -d '\n' "$coador" pipeline rules pipelines/nyt-distill tiny.yaml >rules.mk && make -s -f rules.mk >run.out 2>run.err; }
ran() { sed -n 's/^pipeline: \(.*\): running.*/\1/p' run.err | sort | tr '\n' ' '; }
d=pipelines/nyt-distill

ok 'all of it runs' run
[ -s $d/scores.txt ] || sed 's/^/# /' run.err | tail -20
is 'with every stage once' "$(ran)" "$(sed -n 's/^  \([a-z-]*\):$/\1/p' $d/dvc.yaml | sed 's/^teach$/teach@11 teach@12/; s/^\(reasoning\|labels\|two-tasks\|soft\|gold\)\(-answers\)\?$/&@1/' | tr ' ' '\n' | sort | tr '\n' ' ')"
is 'each system answered each test row' "$(for f in $d/answers/*.jsonl; do jq -r .id "$f" | cksum; done | sort -u | wc -l)" 1
is 'students see no gold' "$(jq -c 'select(.truth or .row.p1 or .row.why)' $d/student-rows.jsonl | wc -l)" 0
is 'parts share no article' "$(for p in teacher student test; do jq -r .row.article $d/$p-rows.jsonl | sort -u; done | sort | uniq -d)" ''
is 'reasoning names the words' "$(jq -r '.completion | fromjson.reasoning' $d/teacher-rows.jsonl | sort -u)" 'f1 is coloured by nothing, f2 is lifted by good, f3 is weighed down by bad and crash.
f1 is lifted by good, f2 is weighed down by bad and crash, f3 is coloured by nothing.
f1 is weighed down by bad and crash, f2 is coloured by nothing, f3 is lifted by good.'
is 'one labelling, two forms' "$(jq -c 'select(.error | not) | .parsed' $d/reasoned.jsonl | cksum)" "$(jq -c 'select(.error | not) | .completion | fromjson' $d/labelled.jsonl | cksum)"
is 'and two tasks' "$(jq -rc 'select(.error | not) | [(.id | endswith("#reasoning")), (.completion[0:2] == " {")] | join(" ")' $d/two-tasks.jsonl | sort | uniq -c | awk '{ print $1, $2, $3 }' | tr '\n' ',')" "$(n=$(jq -c 'select(.error | not)' $d/reasoned.jsonl | wc -l); echo "$n false true,$n true false,")"
is 'each teacher asked once a row' "$(jq -c .asked $d/label-summary.json) $(wc -l <$d/label-cache.jsonl)" '12 12'
is 'the report says that teacher and students share one size' "$(grep -c 'share one size' $d/report.html $d/report.md | cut -d : -f 2 | tr '\n' ' ')" '1 1 '
is 'which answers the question' "$(grep -A 1 '^Does training on the teacher' $d/scores.txt | grep -Eco '^(Yes|No|Not decidable)')" 1
ok 'a second run' run
is 'does nothing' "$(ran)" ''
echo 'Go on.' >>$d/zero.txt
run; is 'a changed template of the untrained model' "$(ran)" 'report zero-answers zero-rows '
echo 'Sure: {{"f1":{p1|json},"f2":{p2|json},"f3":{p3|json}}}' >$d/other.txt && sed -i '/^  gold-rows:/,/^$/s|../nyt/answer.txt|other.txt|' $d/dvc.yaml
run; is 'a changed answer of one student' "$(ran)" 'gold-answers@1 gold-rows gold@1 report '
vars="$vars serve=local"
run; is 'the same teachers in process' "$(jq -c 'select(.error | not) | .parsed' $d/reasoned.jsonl | wc -l)" 6
vars="${vars/serve=local/serve=carrier-pigeon}"
run; ok 'any other way is refused' grep -q 'carrier-pigeon: expected http or local' run.err

# ---- the server by itself ----
PATH=$(dirname "$coador"):$PATH
served() { python3 $d/serve.py model $d/teachers "$@"; }
ok 'it answers and ends with its command' served "$coador" distill-label --schema pipelines/nyt/schema.json --teacher openai:11 --max-tokens 64 -o out.jsonl $d/student-rows.jsonl
is 'every row' "$(jq -c 'select(.parsed)' out.jsonl | wc -l)" 6
exits 'the exit status is the command'"'"'s' 7 '' served sh -c 'exit 7'
says() { served "$coador" distill-label --schema pipelines/nyt/schema.json --retries 0 "$@" $d/student-rows.jsonl 2>err | jq -r .error | sort -u; }
ok 'a form it does not keep is refused' sh -c 'echo "$1" | grep -q "response_format must be json_schema"' - "$(says --teacher openai:11 --response-format none)"
ok 'and a teacher that is not there' sh -c 'echo "$1" | grep -q "no model 99: there are 11, 12"' - "$(says --teacher openai:99)"
# The first three questions failing for good end the run, with the message on stderr; where fewer had to, it is the records'.
ok 'a model that ends leaves nobody waiting' sh -c 'cat err; echo "$1" | cat - err | grep -q "program has ended"' - "$(says --teacher openai:11 --max-tokens 9)"
done_testing
