# What every filter does alike: a second "-", a full disk, a closed pipe. A line for each tool:
# name | arguments without input | its input | arguments that name standard input twice; tools that are not built are skipped
# visibly.
. "$SRC/tests/lib.sh" || exit 1
dir=$("$coador" --exec-path)
printf 'x: {a}\n' >prompt.txt
printf ' {{"p":{b|json}}}\n' >completion.txt
printf '{"type":"object","properties":{"p":{"enum":["y","n"]}},"required":["p"],"additionalProperties":false}\n' >schema.json
awk 'BEGIN { print "a,b"; for (i = 0; i < 20000; i++) printf "row %d,y\n", i }' >rows.csv
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "{\"id\":\"r%d\",\"truth\":{\"p\":\"y\"},\"parsed\":{\"p\":\"n\"},\"output\":\"{\\\"p\\\":\\\"n\\\"}\"}\n", i }' >rows.jsonl
table='csv2prompt|--prompt prompt.txt --completion completion.txt|rows.csv|--prompt - --completion completion.txt -
parse-json|--schema schema.json|rows.jsonl|--schema schema.json - -
eval|--schema schema.json|rows.jsonl|--schema schema.json a=- b=-
doctor|||'
while IFS='|' read -r tool args input twice; do
    if [ ! -x "$dir/$tool" ]; then
        skip "$tool" 'not built'
        continue
    fi
    exits "$tool: output to a full disk" 4 'No space left' sh -c 'exec "$0" '"$tool $args $input"' >/dev/full' "$coador"
    [ -n "$input" ] || continue
    exits "$tool: a second -" 2 'named twice|at most one|one input' sh -c '"$0" '"$tool $twice <$input"' >/dev/null' "$coador"
    # head leaves after one line; the tool must die of SIGPIPE (141) or have been done (0), and say nothing
    sh -c '"$0" '"$tool $args $input"' 2>pipe.err; echo $? >pipe.rc' "$coador" | head -1 >/dev/null
    is "$tool: a closed pipe is a quiet death" "$(cat pipe.err)" ''
    case $(cat pipe.rc) in 0 | 141) ok "$tool: with SIGPIPE's status" true ;; *) is "$tool: with SIGPIPE's status" "$(cat pipe.rc)" 141 ;; esac
done <<E
$table
E
is 'the front end: a closed pipe' "$( (trap '' PIPE; "$coador" --help 2>&1 >/dev/full) )" 'coador: cannot write standard output: No space left on device'
done_testing
