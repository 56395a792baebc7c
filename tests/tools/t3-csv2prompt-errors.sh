#!/bin/bash
# csv2prompt on bad input: the message, the exit status, and no output file left.
. "$SRC/tests/lib.sh"
c2p() { "$coador" csv2prompt --prompt p.txt --completion c.txt -o out.jsonl "$@"; }
bad() { # bad NAME STDERR_PATTERN CSV_PRINTF [OPTION]...: exit 3
    printf "$3" >in.csv
    exits "$1" 3 "$2" c2p "${@:4}" in.csv
}
printf '{t}\n' >p.txt; printf '{{"l": {l|json}}}\n' >c.txt; printf 't,l\na,1\n' >good.csv

# --- the CSV ---
bad 'ragged row' '^csv2prompt: in.csv:3: 3 cells, expected 2 as in the header$' 't,l\na,1\nb,2,3\n'
bad 'empty line' '^csv2prompt: in.csv:3: empty line, expected 2 cells' 't,l\na,1\n\n'
bad 'unclosed quote: where it opened' "^csv2prompt: in.csv:3: the quote that opens column 't' is never closed" 't,l\na,1\n"b,2\nc,3\n'
bad 'Latin-1' "^csv2prompt: in.csv:2: byte 0xe3 of column 't' is not UTF-8, expected UTF-8" 't,l\nn\xe3o,1\n'
bad 'NUL' "^csv2prompt: in.csv:2: NUL byte in column 't', expected text" 't,l\nn\0o,1\n'
bad 'empty file' '^csv2prompt: in.csv:1: the file is empty, expected a row of column names' ''
bad 'repeated column' "^csv2prompt: in.csv:1: column name 't' stands twice" 't,l,t\na,1,b\n'
bad 'missing column' "^csv2prompt: p.txt:1:1: unknown column 't', expected one of 'x', 'l'" 'x,l\na,1\n'
exits 'no such file' 4 '^csv2prompt: cannot open none.csv: No such file' c2p none.csv
exits 'a folder' 4 'is a directory' c2p .

# --- templates ---
template() { printf '%s' "$3" >bad.txt; exits "$1" 3 "$2" "$coador" csv2prompt --prompt bad.txt good.csv; }
template 'unclosed {' '^csv2prompt: bad.txt:1:3: unclosed \{, expected \}' 'x {t'
template 'lone }' '^csv2prompt: bad.txt:2:1: lone \}, expected \}\}' $'x\n}'
template 'unknown filter' "^csv2prompt: bad.txt:1:4: unknown filter 'xml', expected json" '{t|xml}'
template 'empty name' '^csv2prompt: bad.txt:1:1: no column name' '{}'
template 'unknown column' "^csv2prompt: bad.txt:1:2: unknown column 'u', expected one of 't', 'l'" ' {u}'
template 'JSON without doubled braces' '^csv2prompt: bad.txt:1:8: \{ inside a column name' '{"f1": {t}}'
template 'empty template' '^csv2prompt: bad.txt:1:1: the template is empty' ''
exits 'no template' 4 '^csv2prompt: cannot open none.txt' "$coador" csv2prompt --prompt none.txt good.csv

# --- labels and answers ---
bad 'some labels empty' "^csv2prompt: in.csv:2: column 'm' is empty, expected a label" 't,l,m\na,1,\n' --truth <(printf '{m}{l}')
printf '{{"l": "{l}"}}' >q.txt; printf 't,l\na,1\nb,"x""y"\n' >in.csv
exits 'an answer that is not JSON' 3 '^csv2prompt: in.csv:3: the completion is not JSON \(.*\), expected JSON as q.txt starts with \{' "$coador" csv2prompt --prompt p.txt --completion q.txt in.csv
printf 'x{l}' >w.txt
exits '--notebook-quotes on words' 3 '^csv2prompt: good.csv:2: the completion is not JSON .* expected JSON for --notebook-quotes' "$coador" csv2prompt --prompt p.txt --completion w.txt --notebook-quotes good.csv
bad 'repeated id' "^csv2prompt: in.csv:4: id 'a' already stands on line 2, expected unique ids" 't,l\na,1\nb,2\na,3\n' --id t
bad 'empty id' "^csv2prompt: in.csv:2: column 't' is empty, expected an id" 't,l\n,1\n' --id t
bad 'no id column' "^csv2prompt: in.csv:1: no column 'k' for --id, expected one of 't', 'l'" 't,l\na,1\n' --id k
bad 'empty group' "^csv2prompt: in.csv:2: column 'g' is empty, expected a group" 't,l,g\na,1,\n' --group-by g --split a=1 --part a

# --- the map ---
map() { printf "$3" >m.yaml; exits "$1" 3 "$2" c2p --map m.yaml good.csv; }
map 'unknown field' "^csv2prompt: m.yaml:2: unknown field 'colums', expected columns, labels or allowed" 'labels: {a: b}\ncolums: {}\n'
map 'unknown CSV column' "^csv2prompt: m.yaml:2: columns: unknown column 'q', expected one of 't', 'l'" 'columns:\n  f1: q\n'
map 'unknown label column' "^csv2prompt: m.yaml:1: labels: unknown column 'z'" 'labels: {z: {a: b}}\n'
map 'a map for a column of the prompt' "^csv2prompt: m.yaml:1: column 't' is used by the prompt, expected a label column" 'labels: {t: {a: b}}\n'
map 'label not allowed' "^csv2prompt: good.csv:2: column 'l': label '1' is not allowed, expected one that m.yaml:1 lists" 'allowed: [x, y]\n'
map 'mapped label not allowed' "label '1' \(mapped to 'z'\) is not allowed" 'allowed: {l: [x]}\nlabels: {"1": z}\n'
map 'label without a name' '^csv2prompt: m.yaml:1: a: expected a string' 'labels: {a: }\n'
map 'allowed is not a list' '^csv2prompt: m.yaml:1: allowed: expected a list of labels' 'allowed: x\n'
map 'repeated key' "^csv2prompt: m.yaml:2: key 'labels' stands twice" 'labels: {}\nlabels: {}\n'

# --- the command line ---
usage() { exits "$1" 2 "$2" "${@:3}"; }
usage 'a second -' 'standard input \(-\) is named twice' sh -c '"$0" csv2prompt --prompt - --completion - good.csv <p.txt' "$coador"
usage 'two files' '2 operands, expected one CSV' c2p good.csv good.csv
usage 'no prompt' '--prompt is missing' "$coador" csv2prompt good.csv
usage '--split without --part' 'go together' c2p --split a=1 good.csv
usage 'fractions' 'the fractions sum to 0.9, expected 1' c2p --split a=0.5,b=0.4 --part a good.csv
usage 'no such part' "--part c: no such part" c2p --split a=0.5,b=0.5 --part c good.csv
usage '--group-by alone' '--group-by has no use' c2p --group-by t good.csv
usage 'a long delimiter' "--delimiter ',,'" c2p --delimiter ,, good.csv
usage 'two styles' 'exclude each other' c2p --notebook-quotes --completion-style python good.csv
usage '--shots without answers' '--shots needs --completion' "$coador" csv2prompt --prompt p.txt --shots 1 good.csv
usage 'unknown escape' 'shot-separator: .x is unknown' c2p --shots 1 --shot-separator '\x' good.csv
is 'no output and no temporary file is left' "$(ls out.jsonl* 2>/dev/null)" ''

# --- the output ---
if [ -w /dev/full ]; then
    exits 'full disk' 4 'cannot write standard output: No space left' sh -c '"$0" csv2prompt --prompt p.txt good.csv >/dev/full' "$coador"
    seq 20000 | sed '1s/.*/t/' >long.csv
    exits 'full disk, long output' 4 'cannot write standard output: No space left' sh -c '"$0" csv2prompt --prompt p.txt long.csv >/dev/full' "$coador"
else
    skip 'full disk' 'no /dev/full'
fi
seq 20000 | sed '1s/.*/t/' >long.csv
"$coador" csv2prompt --prompt p.txt long.csv 2>pipe.err | head -1 >/dev/null
is 'closed pipe: quiet death by SIGPIPE' "${PIPESTATUS[0]} $(cat pipe.err)" '141 '
exits 'no folder for the output' 4 'cannot create' c2p -o none/out.jsonl good.csv
done_testing
