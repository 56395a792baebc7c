#!/bin/bash
# coador tensors: golden streams, pipes, extraction, comparison, random models, what broken input and output leave behind.
. "$SRC/tests/lib.sh" || exit 1
tensors() { "$coador" tensors "$@"; }
base=$SRC/tests/data/adapters/base
good=$SRC/tests/data/streams/good-blocks.st.zst

# golden files, as files, through pipes, and by the second reader
for f in "$SRC"/tests/data/streams/*.st.zst; do
    name=$(basename "$f" .st.zst) code=3 says="^tensors: $f: " pipe='^tensors: stdin: '
    case $name in good-*) code=0 says='' pipe='' ;; esac
    exits "$name: file" $code "$says" tensors verify "$f"
    exits "$name: pipe" $code "$pipe" sh -c 'cat "$1" | "$0" tensors verify' "$coador" "$f"
    if command -v python3 >/dev/null && command -v zstd >/dev/null; then
        exits "$name: second reader" $code '' python3 "$SRC/tests/oracle/stream_reader.py" "$f"
    else
        skip "$name: second reader" 'python3 or zstd is not installed'
    fi
done
is 'every golden file stands in README' "$(grep -cE '^(good|bad)-' "$SRC/tests/data/streams/README")" "$(ls "$SRC"/tests/data/streams/*.zst | wc -l)"

# both readers see the same tensors
tensors list --json "$good" >list.jsonl
if command -v python3 >/dev/null && command -v zstd >/dev/null; then
    plain='import sys,json
for t in map(json.loads, sys.stdin): print(t["name"], t["dtype"], "x".join(map(str, t["shape"])), t["sha256"])'
    for f in good-blocks good-many-frames; do
        is "$f: both readers agree" "$(tensors list --json "$SRC/tests/data/streams/$f.st.zst" | python3 -c "$plain")" \
            "$(python3 "$SRC/tests/oracle/stream_reader.py" "$SRC/tests/data/streams/$f.st.zst")"
    done
else
    skip 'both readers agree' 'python3 or zstd is not installed'
fi
is 'list: block types have their name and shape' "$(grep '"w.weight"' list.jsonl | cut -d, -f1-5)" '{"name":"w.weight","dtype":"q4_1","shape":[3,64],"bytes":120'
is 'list: a table' "$(tensors list "$good" | awk '$1 == "a" || $1 == "z" {print $1, $2, $3, $4}')" "a f32 2x3 24
z i64 - 8"

# random models: the same bytes for any threads, streams and directories hold the same, programs read all of them
tensors random "$base" --seed 7 -o r.st.zst
tensors random "$base" --seed 7 --threads 1 >r1.st.zst
ok 'random: any number of threads' cmp r.st.zst r1.st.zst
tensors random "$base" --seed 8 -o other.st.zst
exits 'random: another seed' 1 'the largest difference is' tensors compare --tolerance 1e-3 r.st.zst other.st.zst
tensors random "$base" --seed 7 --level none -o stored.st.zst
exits 'random: stored' 0 '' tensors compare --tolerance 0 r.st.zst stored.st.zst
ok 'random: a directory' tensors random "$base" --seed 7 --directory -o dir
exits 'random: the directory holds the same' 0 '' tensors compare --tolerance 0 r.st.zst dir/model.safetensors
ok 'random: its files' cmp dir/tokenizer.json "$base/tokenizer.json"
tensors random "$base" --seed 7 --dtype f32 -o f32.st.zst
exits 'random: f32 differs by rounding only' 0 '' tensors compare --tolerance 4e-4 r.st.zst f32.st.zst
is 'random: mean and spread' "$(tensors extract --tensor model.embed_tokens.weight f32.st.zst | od -An -v -tf4 -w4 |
    awk '{s += $1; q += $1 * $1} END {d = sqrt(q / NR); print (s / NR < 0.001 && s / NR > -0.001), (d > 0.0194 && d < 0.0206), (NR > 1000)}')" '1 1 1'
echo '{"id":1,"prompt":"ab"}' >p.jsonl
gen() { "$coador" generate --max-new-tokens 5 --model "$@" p.jsonl; }
want=$(gen dir)
ok 'generate: an answer' test -n "$want"
tensors extract r.st.zst -o r.safetensors
for m in r.st.zst stored.st.zst r.safetensors; do is "generate --model $m" "$(gen $m)" "$want"; done
is 'generate --model -' "$(cat r.st.zst | gen -)" "$want"
is 'generate from a named pipe' "$(gen <(cat r.st.zst))" "$want"
is 'a model straight from random' "$(tensors random "$base" --seed 7 | gen -)" "$want"
exits 'generate: half a stream' 3 'stdin: .*truncated' sh -c 'head -c 30000 stored.st.zst | "$0" generate --model - p.jsonl' "$coador"
exits 'generate: no config.json travels along' 3 'no-tensor.st.zst: no config.json travels along' gen "$SRC/tests/data/streams/good-no-tensor.st.zst"

# extraction
if command -v zstd >/dev/null; then
    ok 'zstd -dc gives what extract gives' sh -c 'zstd -dcq r.st.zst | cmp - r.safetensors'
else
    skip 'zstd -dc gives what extract gives' 'zstd is not installed'
fi
ok 'extract: from a pipe' sh -c 'cat r.st.zst | "$0" tensors extract | cmp - r.safetensors' "$coador"
tensors extract --files files r.st.zst
ok 'extract: files as they were' cmp files/tokenizer.json "$base/tokenizer.json"
is 'extract: one tensor' "$(tensors extract --tensor z "$good" | od -An -td8 | tr -d ' ')" -5
is 'extract: one tensor from a pipe, which is read to its end' "$(cat "$good" | tensors extract --tensor __file__/config.json)" '{"model_type": "llama"}'
exits 'extract: unknown tensor' 3 '^tensors: no tensor is called nope$' tensors extract --tensor nope -o x "$good"
head -c 50000 stored.st.zst >cut.st.zst
exits 'extract: a cut pipe' 3 'truncated' sh -c '"$0" tensors extract -o x <cut.st.zst' "$coador"
exits 'extract: a cut pipe, files' 3 'truncated' sh -c '"$0" tensors extract --files fx <cut.st.zst' "$coador"
is 'nothing is left' "$(ls -d x* fx* 2>/dev/null)" ''
exits 'extract: a GGUF file' 3 'expected a tensor stream' tensors extract -o x "$SRC/tests/data/gguf/good-mixed.gguf"
exits 'extract: a full disk' 4 'No space left' sh -c '"$0" tensors extract stored.st.zst >/dev/full' "$coador"
exits 'random: a full disk' 4 'No space left' sh -c '"$0" tensors random "$1" >/dev/full' "$coador" "$base"
exits 'random: into no folder' 4 'cannot create' tensors random "$base" -o none/x

# Python's own safetensors
if [ -n "${PEERS_PYTHON:-}" ]; then
    ok 'the safetensors package loads it' "$PEERS_PYTHON" -c '
import sys, safetensors.torch as st
t = st.load_file("r.safetensors"); m = st.load_file("dir/model.safetensors")
assert all((t[k] == m[k]).all() for k in m) and len(t) > len(m)'
else
    skip 'the safetensors package loads it' 'PEERS_PYTHON is not set'
fi

# comparison
exits 'compare: GGUF and itself' 0 '' tensors compare --tolerance 0 "$SRC/tests/data/gguf/good-mixed.gguf" "$SRC/tests/data/gguf/good-mixed.gguf"
exits 'compare: other names' 1 'tensors have no counterpart' tensors compare r.st.zst "$good"
is 'compare: a pipe as B' "$(cat r.st.zst | tensors compare r.safetensors - | tail -n 1 | tr -s ' ')" 'total 0 1.000000000'
is 'compare: a pipe as A' "$(cat r.st.zst | tensors compare --json - stored.st.zst | tail -n 1)" '{"name":"total","max_abs":0,"cosine":1}'
exits 'compare: two pipes' 2 'named twice' sh -c '"$0" tensors compare - - <r.st.zst' "$coador"
nan() { # a file with one F32 tensor: bytes in octal
    printf '\70\0\0\0\0\0\0\0%-56s' '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' && printf "$1"
}
nan '\0\0\300\177' >nan.st && nan '\0\0\200\177' >inf.st
exits 'compare: NaN never passes' 1 'difference is -?nan' tensors compare --tolerance 1e300 nan.st nan.st
exits 'compare: infinity equals infinity' 0 '' tensors compare --tolerance 0 inf.st inf.st

# memory does not grow with the model: 260 MB of weights, 200 MB of address space
sed 's/"vocab_size": *[0-9]*/"vocab_size": 2000000/' "$base/config.json" >large.json
if ldd "$("$coador" --exec-path)/tensors" 2>/dev/null | grep -qE 'asan|tsan|ubsan' || [ -n "${COADOR_FAST:-}" ]; then
    skip 'memory is bounded' 'not under sanitizers'
else
    ok 'memory is bounded' bash -c 'set -o pipefail; ulimit -v 200000; "$0" tensors random --threads 2 --level none large.json | "$0" tensors verify --threads 2 >large.out' "$coador"
    ok 'it was large' grep -qE ' [0-9]{9} bytes' large.out
fi

# the command line
exits 'no verb' 2 'list, verify, extract, compare or random' tensors
exits 'unknown verb' 2 'frob: expected' tensors frob
exits 'an option of another verb' 2 '^tensors: --seed has no meaning with list$' tensors list --seed 1 r.st.zst
exits 'compare: one operand' 2 'an operand is missing' tensors compare r.st.zst
exits 'list: two operands' 2 'b: one operand too many' tensors list a b
exits 'a wrong level' 2 'expected none or a number from 1 to 19' tensors random --level 20 "$base"
exits 'no such file' 4 'cannot open nope: No such file' tensors list nope
exits 'no such config' 4 'cannot open' tensors random nope.json -o x
exits 'not a model' 3 'field model_type is missing' sh -c 'echo {} >e.json; "$0" tensors random e.json -o x' "$coador"
done_testing
