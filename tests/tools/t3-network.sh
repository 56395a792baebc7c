# Of all programs only distill-label opens a socket: seen by strace, and by what the programs are linked with.
. "$SRC/tests/lib.sh"
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" # LeakSanitizer cannot work under ptrace
. "$SRC/tests/servers/lib.sh"
command -v strace >/dev/null || skip_all "no strace"
strace -o t -e trace=network true 2>/dev/null || skip_all "strace may not trace here"
export OMP_NUM_THREADS=1
M=$SRC/tests/data/train/tiny R=$SRC/tests/data/train/rows.jsonl
# A socket of the machine itself (AF_UNIX: the C library asks a name-service cache for the user) is no network.
calls() { grep -E '^[0-9]+ +[a-z0-9]+\(' trace | grep -c 'AF_INET\|AF_NETLINK\|AF_PACKET'; }
quiet() { # quiet NAME COMMAND...: succeeds, and no network call
    _what=$1; shift
    ok "$_what runs" strace -f -qq -o trace -e trace=network "$@"
    is "$_what: no network" "$(calls)" 0
}
printf 'id,t\n1,bom\n2,mau\n' >rows.csv; printf 'Texto: {t}\n' >p.txt
quiet csv2prompt "$coador" csv2prompt --prompt p.txt --id id -o c.jsonl rows.csv
quiet lora-train "$coador" lora-train --model "$M" --max-steps 1 --batch 4 --rank 2 -q -o a "$R"
quiet generate "$coador" generate --model "$M" --adapter a -n 4 -o g.jsonl "$R"
quiet parse-json "$coador" parse-json --schema schema.json -o pj.jsonl g.jsonl
jq -c '{id,truth:{p:"Neutro"},parsed:{p:"Neutro"}}' "$R" >e.jsonl
quiet eval "$coador" eval --schema schema.json -o e.txt e.jsonl
quiet quantize "$coador" quantize --to int8 -o q "$M"
quiet tensors "$coador" tensors list "$M/model.safetensors"
quiet lora-merge "$coador" lora-merge --model "$M" --adapter a --to f32 -o m
mkdir p && printf 'stages:\n  one:\n    cmd: echo x >x\n    outs: [x]\n' >p/dvc.yaml
quiet "pipeline's rules" "$coador" pipeline rules p
quiet pipeline "$coador" pipeline stage p one
strace -f -qq -o trace -e trace=network "$coador" doctor >/dev/null 2>&1
is "doctor: no network" "$(calls)" 0
serve seen
rows 2 >r.jsonl
ok "distill-label runs under strace" strace -f -qq -o trace -e trace=network "$coador" distill-label --schema schema.json --teacher openai:m --base-url "$URL" --reasoning-key raciocinio -o o.jsonl r.jsonl
ok "and is seen to connect" grep -Eq '^[0-9]+ +connect\(.*127.0.0.1' trace
if command -v ldd >/dev/null; then
    dir=$("$coador" --exec-path); linked=
    for t in "$dir"/*; do ldd "$t" 2>/dev/null | grep -q libcurl && linked="$linked $(basename "$t")"; done
    case $(ldd "$dir/distill-label" 2>&1) in
    *libcurl*) is "programs linked with libcurl" "$linked" ' distill-label doctor' ;;
    *) skip "programs linked with libcurl" "a static build" ;;
    esac
fi
done_testing
