#!/bin/bash
# csv2prompt: records, ids, maps, splits, shots, styles.
. "$SRC/tests/lib.sh"
c2p() { "$coador" csv2prompt "$@"; }

printf '%s\n' 'Texto: {texto}' 'Resultado:' >p.txt
printf ' {{"pol": {pol|json}, "emo": {emo|json}}}\n' >c.txt
printf 'texto,pol,emo,artigo\r\n"diz ""oi"", já\r\naqui",Positivo,alegria,1\r\nb,Negativo,raiva,1\r\nc,,,2\r\nb,Negativo,raiva,1\r\n' >in.csv

c2p --prompt p.txt --completion c.txt in.csv >out.jsonl
ids=$(python3 -c '
import hashlib
rows = [["diz \"oi\", já\r\naqui", "Positivo", "alegria", "1"], ["b", "Negativo", "raiva", "1"], ["c", "", "", "2"]]
for r in rows:
    print(hashlib.sha256(b"".join(b"%d:%s" % (len(c.encode()), c.encode()) for c in r)).hexdigest()[:16])' 2>/dev/null)
set -- $ids
if [ $# -eq 3 ]; then
    cat >expected.jsonl <<END
{"id":"$1","prompt":"Texto: diz \"oi\", já\r\naqui\nResultado:","completion":" {\"pol\":\"Positivo\",\"emo\":\"alegria\"}","truth":{"pol":"Positivo","emo":"alegria"},"row":{"texto":"diz \"oi\", já\r\naqui","pol":"Positivo","emo":"alegria","artigo":"1"}}
{"id":"$2","prompt":"Texto: b\nResultado:","completion":" {\"pol\":\"Negativo\",\"emo\":\"raiva\"}","truth":{"pol":"Negativo","emo":"raiva"},"row":{"texto":"b","pol":"Negativo","emo":"raiva","artigo":"1"}}
{"id":"$3","prompt":"Texto: c\nResultado:","row":{"texto":"c","pol":"","emo":"","artigo":"2"}}
{"id":"$2-2","prompt":"Texto: b\nResultado:","completion":" {\"pol\":\"Negativo\",\"emo\":\"raiva\"}","truth":{"pol":"Negativo","emo":"raiva"},"row":{"texto":"b","pol":"Negativo","emo":"raiva","artigo":"1"}}
END
    ok 'records, content ids, an unlabelled row' cmp out.jsonl expected.jsonl
else
    skip 'records, content ids, an unlabelled row' 'no python3'
fi
is 'standard input is the default' "$(c2p --prompt p.txt --completion c.txt <in.csv | cksum)" "$(cksum <out.jsonl)"
c2p --prompt p.txt --completion c.txt -o o.jsonl in.csv
ok '-o' cmp o.jsonl out.jsonl
tr , ';' <in.csv | sed 's/oi""; /oi"", /' >semi.csv
is '--delimiter' "$(c2p --delimiter ';' --prompt p.txt --completion c.txt semi.csv | cksum)" "$(cksum <out.jsonl)"
is '--limit' "$(c2p --prompt p.txt --completion c.txt --limit 2 in.csv | cksum)" "$(head -2 out.jsonl | cksum)"
exits 'rows behind --limit are still checked' 3 '^csv2prompt: stdin:7: 1 cell, expected 4' sh -c '(cat in.csv; echo x) | "$0" csv2prompt --prompt p.txt --limit 1' "$coador"
printf 'k,t\na,1\nb,2\n' >id.csv; echo '{t}' >t.txt
is '--id' "$(c2p --prompt t.txt --id k id.csv)" '{"id":"a","prompt":"1","row":{"k":"a","t":"1"}}
{"id":"b","prompt":"2","row":{"k":"b","t":"2"}}'
is 'a header alone gives no record, and says so' "$(echo t | c2p --prompt t.txt 2>&1)" 'csv2prompt: warning: stdin: no record written: no rows'

seq 20000 | awk 'BEGIN { print "texto,pol,emo,artigo" } { print "\"frase \"\"" $1 % 15000 "\"\"\",p,e,1" }' >long.csv
for t in 1 2 5; do c2p --prompt p.txt --completion c.txt --threads $t long.csv | cksum; done >sums
is '--threads: the same bytes' "$(sort -u sums | wc -l) $(c2p --prompt p.txt --completion c.txt long.csv | grep -c '"id":"[0-9a-f]*-2"')" '1 5000'
for t in 1 2; do
    (cat long.csv; echo 'x,p,,1'; echo y) | c2p --prompt p.txt --completion c.txt --threads $t >rows 2>err
    is "the first error of two, and the rows before it (--threads $t)" "$? $(wc -l <rows) $(cat err)" \
        "3 20000 csv2prompt: stdin:20002: column 'emo' is empty, expected a label as in the row's other label columns (or none at all)"
done

(echo t; seq 110000; echo 5; echo 109999; echo 5) >many.csv # more than the memory for ids holds
is 'rows that come again after 100,000 others' "$(c2p --prompt t.txt many.csv | sed -n 's/.*"id":"[0-9a-f]*-\([0-9]*\)","prompt":"\([0-9]*\)".*/\2:\1/p' | tr '\n' ' ')" '5:2 109999:2 5:3 '
exits 'no place for temporary files' 4 '^csv2prompt: cannot make a temporary file in none: No such file' env TMPDIR=none "$coador" csv2prompt --prompt t.txt many.csv

# --- answers ---
answer() { printf '%s' "$2" >a.txt; printf 't,l\nx,%s\n' "$1" | c2p --prompt t.txt --completion a.txt "${@:3}" | sed 's/.*"prompt":"x",//; s/,"row".*//'; }
is 'text is its own truth, outer space apart' "$(answer 'Bom' ' {l} ')" '"completion":" Bom ","truth":"Bom"'
is 'a number is JSON' "$(answer 5 ' {l}')" '"completion":" 5","truth":5'
is 'compact by default, space around kept' "$(answer é $'\n{{"a": [1.0, {l|json}] }} \n\n')" '"completion":"\n{\"a\":[1.0,\"é\"]} \n","truth":{"a":[1.0,"é"]}'
is 'python style' "$(answer é '{{"a":[1.0,{l|json}],"b":{{}}}}' --completion-style python)" '"completion":"{\"a\": [1.0, \"é\"], \"b\": {}}","truth":{"a":[1.0,"é"],"b":{}}'
is 'verbatim style' "$(answer é '{{"a" :{l|json}}}' --completion-style verbatim)" '"completion":"{\"a\" :\"é\"}","truth":{"a":"é"}'
is 'notebook quotes' "$(answer "d'água" '{{"a": {l|json}, "b": null, "c": [true, 1.50]}}' --notebook-quotes)" '"completion":"{'"'a': \\\"d'água\\\", 'b': None, 'c': [True, 1.5]"'}","truth":{"a":"d'"'"'água","b":null,"c":[true,1.50]}'
printf '{{"l": {l|json}}}' >tr.txt; printf 'Penso. {l}.' >r.txt
is '--truth beside a completion in words' "$(printf 't,l\nx,y\n' | c2p --prompt t.txt --completion r.txt --truth tr.txt | sed 's/.*"prompt":"x",//;s/,"row.*//')" '"completion":"Penso. y.","truth":{"l":"y"}'
is '--truth without completion' "$(printf 't,l\nx,y\nz,\n' | c2p --prompt t.txt --truth tr.txt | cut -d, -f2-3)" '"prompt":"x","truth":{"l":"y"}
"prompt":"z","row":{"t":"z"'
is 'a prompt that ends in a space warns once' "$(printf '{t}: ' >sp.txt; printf 't\nx\ny\n' | c2p --prompt sp.txt 2>&1 >/dev/null)" 'csv2prompt: warning: stdin:2: the prompt ends in white space; put it at the start of the completion'

# --- maps ---
cat >m.yaml <<'END'
labels:
  raiva: Raiva
  emo: {alegria: Felicidade}
  pol: {Negativo: neg}
columns: {frase: texto}
allowed:
  emo: [Felicidade, Raiva]
END
printf '{frase}\n' >f.txt
is 'columns and labels by --map; the row keeps its own' "$(c2p --prompt f.txt --completion c.txt --map m.yaml in.csv | sed -n '2{s/"id":"[^"]*",//;p}')" \
    '{"prompt":"b","completion":" {\"pol\":\"neg\",\"emo\":\"Raiva\"}","truth":{"pol":"neg","emo":"Raiva"},"row":{"texto":"b","pol":"Negativo","emo":"raiva","artigo":"1"}}'

# --- splits ---
seq 2000 | awk 'BEGIN { print "texto,pol,emo,artigo" } { print "frase " $1 ",p" $1 % 3 ",e" $1 % 7 "," int($1 / 10) }' >big.csv
part() { c2p --prompt p.txt --completion c.txt --split "${2:-train=0.7,test=0.3}" --part "$1" "${@:4}" "${3:-big.csv}"; }
part train >train; part test >test
is 'the parts are the whole' "$(cat train test | sort | cksum)" "$(c2p --prompt p.txt --completion c.txt big.csv | sort | cksum)"
n=$(wc -l <test)
ok "0.3 of 2000 within 5 sigma ($n)" test "$n" -gt 497 -a "$n" -lt 703
(head -1 big.csv; tail -n +2 big.csv | sort -r; echo 'outra,a,b,999') >more.csv
is 'reordering and adding moves no row' "$(part test '' more.csv | grep -v outra | sort | cksum)" "$(sort test | cksum)"
sed 's/,p[0-9],/,outro,/' big.csv >relabelled.csv
is 'labels do not move a row' "$(part test '' relabelled.csv | grep -o '"texto":"[^"]*"' | cksum)" "$(grep -o '"texto":"[^"]*"' test | cksum)"
ok 'another seed, another split' sh -c '! cmp -s a b' "$(part test '' big.csv --seed 1 >a; cp test b)"
articles() { grep -o '"artigo":"[^"]*"' "$1" | sort -u; }
part train '' big.csv --group-by artigo >gtrain; part test '' big.csv --group-by artigo >gtest
articles gtrain >ga; articles gtest >gb
is '--group-by keeps an article in one part' "$(comm -12 ga gb | wc -l) $(cat gtrain gtest | wc -l)" '0 2000'

# --- shots ---
c2p --prompt p.txt --completion c.txt --split train=0.1,test=0.9 --part test --shots 3 --group-by artigo big.csv >shots
c2p --prompt p.txt --completion c.txt --split train=0.1,test=0.9 --part train --shots 3 --group-by artigo big.csv >shots-train
c2p --prompt p.txt --completion c.txt --split train=0.1,test=0.9 --part train --group-by artigo big.csv >pool
is 'records of --shots are those without, but for the prompt' "$(cat shots shots-train | sed 's/"prompt":.*,"completion"/"completion"/' | sort | cksum)" \
    "$(c2p --prompt p.txt --completion c.txt big.csv | sed 's/"prompt":.*,"completion"/"completion"/' | sort | cksum)"
is 'the same again' "$(c2p --prompt p.txt --completion c.txt --split train=0.1,test=0.9 --part test --shots 3 --group-by artigo big.csv | cksum)" "$(cksum <shots)"
if python3 -c '' 2>/dev/null; then
    cat >check.py <<'END'
import json
pool = [json.loads(x) for x in open("pool")]
text = {x["prompt"] + x["completion"]: x for x in pool}
for name in "shots", "shots-train":
    for x in map(json.loads, open(name)):
        *examples, own = x["prompt"].split("\n\n")
        assert own == "Texto: %s\nResultado:" % x["row"]["texto"]
        assert len(examples) == len(set(examples)) == 3
        for e in examples:
            assert text[e]["row"]["artigo"] != x["row"]["artigo"]
END
    ok 'three different examples, from the training part, of other articles' python3 check.py
else
    skip 'three different examples, from the training part, of other articles' 'no python3'
fi
printf 't,l\na,1\na,1\nb,2\n' >few.csv; printf ' {l}' >l.txt
is 'equal rows do not show each other, --shot-separator' "$(c2p --prompt t.txt --completion l.txt --shots 1 --shot-separator '\n--\t\\' --limit 2 few.csv | cut -d, -f2)" \
    '"prompt":"b 2\n--\t\\a"
"prompt":"b 2\n--\t\\a"'
exits 'fewer examples than --shots' 3 '^csv2prompt: few.csv:2: only 1 labelled training rows of other text and group, expected the 2 of --shots' c2p --prompt t.txt --completion l.txt --shots 2 few.csv

done_testing
