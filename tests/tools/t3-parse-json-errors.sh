#!/bin/bash
# parse-json on broken input: message, exit status, and no half output.
. "$SRC/tests/lib.sh"
echo true >any.json
good='{"id":1,"output":"{}"}'
# broken NAME PATTERN FORMAT [ARG]...: printf makes the input; exit 3, and neither output nor rejects appear
broken() {
    printf "${@:3}" >bad.jsonl
    exits "$1" 3 "$2" "$coador" parse-json --schema any.json --rejects r.jsonl -o out.jsonl bad.jsonl
    is "$1: no output" "$(ls)" "$(printf 'any.json\nbad.jsonl')"
}
broken 'not JSON' '^parse-json: bad\.jsonl:2: column 18: text ends, expected a value$' '%s\n{"id":2,"output":\n' "$good"
broken 'not an object' '^parse-json: bad\.jsonl:2: column 1: not an object, expected a record$' '%s\n[1]\n' "$good"
broken 'empty line' '^parse-json: bad\.jsonl:2: empty line, expected a record$' '%s\n\n%s\n' "$good" "$good"
broken 'Latin-1' '^parse-json: bad\.jsonl:1: column 22: invalid UTF-8$' '{"id":1,"output":"caf\351"}\n'
broken 'NUL' '^parse-json: bad\.jsonl:1: column 20: control character in a string, expected an escape$' '{"id":1,"output":"a\0b"}\n'
broken 'duplicate key' '^parse-json: bad\.jsonl:1: column 9: duplicate key "id"$' '{"id":1,"id":2}\n'
broken 'byte order mark' '^parse-json: bad\.jsonl:1: column 1: byte order mark, expected a value$' '\357\273\277%s\n' "$good"
broken 'huge depth' '^parse-json: bad\.jsonl:1: column 517: nested too deeply, at most 512 levels$' '{"a":%s\n' "$(head -c 100000 /dev/zero | tr '\0' '[')"
is 'standard input has a name' "$(echo x | "$coador" parse-json --schema any.json 2>&1)" 'parse-json: stdin:1: column 1: unexpected character, expected a value'

# in an answer the same things only fail the record
printf '{"output":"%s"}\n{"output":"{\\"a\\":1,\\"a\\":2}"}\n{"output":"\\u0000"}\n' "$(head -c 100000 /dev/zero | tr '\0' '[')" >deep.jsonl
exits 'a deep, a doubled, a NUL answer' 0 '3 records: 0 valid, 3 rejected' "$coador" parse-json --schema any.json deep.jsonl

# schemas
schema() { # schema NAME TEXT PATTERN
    printf '%s' "$2" >s.json
    exits "$1" 3 "$3" sh -c 'echo "{}" | "$0" parse-json --schema s.json -o out.jsonl' "$coador"
}
schema 'schema: not JSON' '{"type":' '^parse-json: s\.json:1: column 9: text ends, expected a value$'
schema 'schema: unknown keyword' '{"properties":{"d":{"format":"color"}}}' '^parse-json: s\.json: at #/properties/d: format "color" is not supported, so it could not be kept$'
schema 'schema: a loop' '{"$ref":"#"}' '^parse-json: s\.json: at #: \$ref comes back to itself'
schema 'schema: empty' '' '^parse-json: s\.json:1: column 1: text ends, expected a value$'
ok 'schema: no output' test ! -e out.jsonl

# files
echo "$good" >in.jsonl
exits 'no such schema' 4 '^parse-json: cannot open none\.json: No such file' "$coador" parse-json --schema none.json in.jsonl
exits 'no such input' 4 '^parse-json: cannot open none\.jsonl: No such file' "$coador" parse-json --schema any.json none.jsonl
exits 'output in no folder' 4 '^parse-json: cannot create no/out\.jsonl' "$coador" parse-json --schema any.json -o no/out.jsonl in.jsonl
exits 'rejects in no folder' 4 '^parse-json: cannot create no/r\.jsonl' "$coador" parse-json --schema any.json --rejects no/r.jsonl in.jsonl
exits 'a folder as input' 4 '^parse-json: \. is a directory' "$coador" parse-json --schema any.json .
exits 'full disk' 4 'cannot write standard output: No space left' sh -c '"$0" parse-json --schema any.json in.jsonl >/dev/full' "$coador"
yes "$good" | head -100000 >many.jsonl
exits 'full disk, much output' 4 'cannot write standard output: No space left' sh -c '"$0" parse-json --schema any.json many.jsonl >/dev/full' "$coador"
is 'a closed pipe ends it quietly' "$( (trap - PIPE; "$coador" parse-json --schema any.json many.jsonl; echo $? >&3) 3>rc 2>pipe.txt | head -1; cat rc pipe.txt)" "$(printf '%s\n141' "$(echo "$good" | sed 's/}$/,"parsed":{},"repairs":[]}/')")"
if (ulimit -v 60000 && "$coador" parse-json --version) >/dev/null 2>&1; then
    { printf '{"output":"'; head -c 80000000 /dev/zero | tr '\0' x; echo '"}'; } >long.jsonl
    exits 'no memory' 4 'memory' sh -c 'ulimit -v 60000; "$0" parse-json --schema any.json -o out.jsonl long.jsonl' "$coador"
    ok 'no memory: no output' sh -c '! ls out.jsonl*'
    rm long.jsonl
else
    skip 'no memory' 'this build does not start in 60 MB'
fi

# command lines
exits 'a second -' 2 'standard input \(-\) is named twice' sh -c 'echo true | "$0" parse-json --schema - -' "$coador"
exits 'no schema' 2 '^parse-json: --schema is missing' "$coador" parse-json in.jsonl
exits 'two inputs' 2 'one input at most' "$coador" parse-json --schema any.json in.jsonl in.jsonl
exits 'rejects to standard output' 2 'standard output carries the records' "$coador" parse-json --schema any.json --rejects - in.jsonl
exits 'rejects over the output' 2 'name the same file' "$coador" parse-json --schema any.json --rejects x -o x in.jsonl
exits '--field that is written' 2 '^parse-json: --field parsed' "$coador" parse-json --schema any.json --field parsed in.jsonl
exits '--max-rejects below zero' 2 'expected a number from 0' "$coador" parse-json --schema any.json --max-rejects -1 in.jsonl
exits 'an unknown option' 2 'unknown option --schem' "$coador" parse-json --schem any.json in.jsonl
done_testing
