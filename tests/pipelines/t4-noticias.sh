# The parts of pipelines/noticias fit together: table, templates, schema, label maps, settings. No training.
. "$SRC/tests/lib.sh" || exit 1
p=$SRC/pipelines/noticias
rows() { "$coador" csv2prompt --prompt "$p/prompt.txt" --completion "$p/answer.txt" --map "$p/labels.yaml" "$@"; }

# ---- the table ----
ok 'every row goes through the templates' rows -o all.jsonl "$p/dataset.csv"
is 'at least 240 rows' "$(test "$(wc -l <all.jsonl)" -ge 240; echo $?)" 0
rows --split train=0.7,test=0.3 --part train -o train.jsonl "$p/dataset.csv"
rows --split train=0.7,test=0.3 --part test -o test.jsonl "$p/dataset.csv"
is 'the parts are the table' "$(sort train.jsonl test.jsonl | cksum)" "$(sort all.jsonl | cksum)"
ok 'every answer fits the schema' "$coador" parse-json --schema "$p/schema.json" --field completion --strict --max-rejects 0 -o parsed.jsonl all.jsonl
ok 'eval reads the schema' "$coador" eval --schema "$p/schema.json" --min exact=1 --bootstrap 100 --json scores.json parsed.jsonl
is 'and pools polaridade and emocao' "$(grep -Eo '"(polaridade|emocao)"' scores.json | sort -u | tr '\n' ' ')" '"emocao" "polaridade" '
for emotion in Felicidade Tristeza Raiva Nojo Medo Surpresa Desprezo Neutro; do
    # the completion's quotes are escaped in the record, so this counts truths alone
    is "$emotion: at least 60 sentences, 10 of them to test" "$(for f in all test; do grep -o "\"emocao\":\"$emotion\"" $f.jsonl | wc -l; done |
        tr '\n' ' ' | awk '{ print ($1 >= 60 && $2 >= 10) ? "yes" : $0 }')" yes
done
if command -v python3 >/dev/null; then
    ok 'no sentence twice, each of 8 to 25 words' python3 - "$p/dataset.csv" <<'E2'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1], encoding="utf-8", newline=""), strict=True))
sentences = [row[f] for row in rows for f in ("f1", "f2", "f3")]
assert len(set(sentences)) == len(sentences), "a sentence stands twice"
for s in sentences:
    assert 8 <= len(s.split()) <= 25, s
assert any("\n" in s for s in sentences) and any('"' in s for s in sentences)
E2
else
    skip 'no sentence twice' 'python3 is not installed'
fi

# ---- templates and schema ----
sed -n 2p "$p/zero.txt" | sed 's/{{/{/g; s/}}/}/g' >in-prompt
tr -d ' \n' <"$p/schema.json" | sed 's/"\$schema":"[^"]*","title":"[^"]*",//' >schema; echo >>schema
is 'the zero-shot prompt shows the schema' "$(cat in-prompt)" "$(cat schema)"
ok 'the zero-shot rows' "$coador" csv2prompt --prompt "$p/zero.txt" --truth "$p/answer.txt" --split train=0.7,test=0.3 --part test -o zero.jsonl "$p/dataset.csv"
ids() { sed 's/^{"id":"\([^"]*\)".*/\1/' "$1" | cksum; }
is 'are the test rows' "$(ids zero.jsonl)" "$(ids test.jsonl)"

# ---- another table ----
cat >mine.csv <<'E'
frase_1,polaridade_1,emocao_1,frase_2,polaridade_2,emocao_2,frase_3,polaridade_3,emocao_3
Um gol!,positiva,alegria,Ninguém viu.,neutra,surpresa,Que pena.,negativa,tristeza
E
cat >house.csv <<'E'
f1,f2,f3,sentence1_polarity,sentence1_sentiment,sentence2_polarity,sentence2_sentiment,sentence3_polarity,sentence3_sentiment
Um gol!,Ninguém viu.,Que pena.,Positivo,Felicidade,Neutro,Surpresa,Negativo,Tristeza
E
ok 'map.yaml reads other columns and labels' "$coador" csv2prompt --prompt "$p/prompt.txt" --completion "$p/answer.txt" --map "$p/map.yaml" -o mine.jsonl mine.csv
text() { sed 's/^.*"prompt":\(.*\),"row":.*$/\1/' "$1"; }
rows -o house.jsonl house.csv
is 'as the house table' "$(text mine.jsonl)" "$(text house.jsonl)"
sed 's/Surpresa/Saudade/' house.csv >unknown.csv
exits 'a label that the schema lacks' 3 'Saudade' rows unknown.csv

# ---- pipeline and settings; any file stands for the model ----
stages='scores test-rows train train-rows tuned-answers zero-answers zero-rows '
names() { "$coador" pipeline status "$@" --set model=schema.json | sed 's/:.*//' | sort | tr '\n' ' '; }
is 'the pipeline has its stages' "$(names "$p")" "$stages"
is 'base.yaml replaces one of them' "$(names "$p" "$p/base.yaml")" "$stages"
m=$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf
if [ -f "$m" ]; then
    ok 'the settings are read' "$coador" lora-train --model "$m" --config "$p/train.yaml" --estimate
    "$coador" lora-train -q --model "$m" --config "$p/train.yaml" --show-mask 1 train.jsonl >mask 2>mask.err
    is 'the first trained token opens the answer' "$(grep '^ *[0-9]* *[0-9]* \* ' mask | head -1 | sed 's/^.* \* //')" '" {\""'
    is 'the last one ends the turn' "$(tail -1 mask | sed 's/^.* \* *//')" '"<|im_end|>"'
else
    skip 'the settings are read' 'make model fetches the model'
fi
done_testing
