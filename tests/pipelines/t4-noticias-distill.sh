# pipelines/noticias-distill: reasonings that belong to their rows, parts that share nothing, and the whole of it on a tiny model, with
# the teacher in process and behind a server.
. "$SRC/tests/lib.sh" || exit 1
command -v python3 >/dev/null || skip_all 'python3 is not installed'
unset MAKEFLAGS MAKELEVEL OPENAI_BASE_URL OPENAI_API_KEY
export OMP_NUM_THREADS=1 PATH="$(dirname "$coador"):$PATH"
d=pipelines/noticias-distill
mkdir -p pipelines/noticias $d
for f in "$SRC"/pipelines/noticias/*.* ; do case $f in *.jsonl) ;; *) cp "$f" pipelines/noticias/ ;; esac; done
for f in dvc.yaml junta.py pergunta.txt professor.txt raciocinios.csv report.sh rotula.sh; do cp "$SRC/$d/$f" $d/; done

# ---- the reasonings ----
ok 'each reasoning has its row' python3 $d/junta.py pipelines/noticias/dataset.csv $d/raciocinios.csv professor.csv aluno.csv textos.csv
ok 'at least 120 of them, each in its own words' python3 - <<'E2'
import collections, csv
rows = list(csv.DictReader(open("professor.csv", encoding="utf-8", newline="")))
assert len(rows) >= 120, len(rows)
words = [r["raciocinio"].lower().split() for r in rows]
assert all(15 <= len(w) <= 60 for w in words), sorted(len(w) for w in words)
openings = collections.Counter(" ".join(w[:3]) for w in words)
assert openings.most_common(1)[0][1] <= 3, openings.most_common(3)
def stems(text): # what is left of a word without its ending
    return {w.strip('.,;:!?"()')[:5] for w in text.lower().split() if len(w) > 5}
for r in rows: # of the row's sentences, not of any
    assert len(stems(r["raciocinio"]) & stems(" ".join(r[f] for f in ("f1", "f2", "f3")))) >= 2, r["raciocinio"]
E2
is 'the others have none' "$(python3 -c 'import csv; print(sum(1 for n in ("aluno.csv", "textos.csv") for r in csv.DictReader(open(n, encoding="utf-8", newline="")) if "raciocinio" in r))')" 0
is 'texts without labels' "$(head -1 textos.csv)" f1,f2,f3
printf 'inicio,raciocinio\nNada comeca assim,x\n' >wrong.csv
exits 'a reasoning without a row' 1 'wrong.csv: record 1: 0 rows begin with Nada' python3 $d/junta.py pipelines/noticias/dataset.csv wrong.csv a b c

# ---- all of it ----
cp -r "$SRC/tests/data/train/tiny" model && jq '.max_position_embeddings = 8192' "$SRC/tests/data/train/tiny/config.json" >model/config.json
vars="model=../../model teacher=local:../../model,adapter=professor rows=4 test_rows=4 epochs=1 tokens=400 label_tokens=200"
run() { for v in $vars "$@"; do printf -- '--set\n%s\n' "$v"; done | xargs -d '\n' "$coador" pipeline rules $d >rules.mk && make -s -f rules.mk >run.out 2>run.err; }
ran() { sed -n 's/^pipeline: \(.*\): running.*/\1/p' run.err | sort | tr '\n' ' '; }
ok 'all of it runs' run
is 'the test rows are not those of students or teachers' "$(jq -r .prompt $d/teacher-rows.jsonl $d/student-rows.jsonl $d/test-rows.jsonl | grep '^f1: ' | sort | uniq -d)" ''
is 'students see no gold' "$(jq -c 'select(.truth or .row.sentence1_polarity)' $d/student-rows.jsonl | wc -l)" 0
is 'each student row has reasoning and labels' "$(jq -r '.completion | fromjson | keys_unsorted | join(" ")' $d/reasoned.jsonl | sort -u)" 'raciocinio f1 f2 f3'
ok 'a report' test -s $d/report.html -a -s $d/report.md
run; is 'a second run does nothing' "$(ran)" ''
echo 'Outra.' >>$d/pergunta.txt
run; is 'the question to servers concerns the teacher alone' "$(ran)" 'label report teacher-answers '

# ---- a server takes the teacher's place; here the tuned one, behind nyt-distill's ----
mkdir served && cp -r $d/professor served/mestre
export vars d coador
PIPE='for v in $vars "teacher=openai:mestre" "base_url=$OPENAI_BASE_URL"; do printf -- "--set\n%s\n" "$v"; done | xargs -d "\n" "$coador" pipeline rules $d >rules.mk && make -s -f rules.mk >run.out 2>run.err'
ok 'a server takes its place' python3 "$SRC/pipelines/nyt-distill/serve.py" model served bash -o pipefail -c "$PIPE"
is 'and was asked each row once' "$(jq -c '[.asked, .labelled]' $d/label-summary.json)" '[4,4]'
ok 'no local teacher was tuned for it' grep -q "mkdir -p professor" $d/.coador/teach.json
done_testing
