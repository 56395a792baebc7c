#!/bin/bash
# coador lora-merge: answers of the merged model, types, scales, packed bases, what is refused and what is left behind.
. "$SRC/tests/lib.sh" || exit 1
base=$SRC/tests/data/adapters/base peft=$SRC/tests/data/adapters/peft rs=$SRC/tests/data/adapters/peft-rs
gguf=$SRC/tests/data/gguf/good-mixed.gguf
merge() { "$coador" lora-merge "$@"; }
gen() { "$coador" generate --max-new-tokens 8 "$@" p.jsonl; }
echo '{"id":1,"prompt":"ab"}
{"id":2,"prompt":"O mercado"}' >p.jsonl

# the merged model is base and adapters
ok 'f32' merge --model "$base" --adapter "$peft" --adapter "$rs=-0.5" --to f32 -o f32
is 'the report' "$(sed -E 's/difference [0-9.e-]+, [0-9.]+e-0[6-9] of/difference X of/; s/logit [0-9.]+/logit Y/' .out)" \
    'logits of the base and adapter, and of the merged model: largest difference X of the largest logit Y; the likeliest token is the same at 243 of 243 places in 4 texts
f32: 20 tensors, 107648 bytes as f32 in 1 file; the base takes 54160 bytes'
is 'nothing on standard error' "$(cat .err)" ''
want=$(gen --model "$base" --adapter "$peft" --adapter "$rs=-0.5")
is 'its answers' "$(gen --model f32)" "$want"
ok 'not those of the base' test "$(gen --model "$base")" != "$want"
is 'files' "$(ls f32 | tr '\n' ' ')" 'config.json generation_config.json model.safetensors tokenizer.json '
exits 'it has no adapter any more: other values' 1 'the largest difference is' "$coador" tensors compare --tolerance 0 "$base/model.safetensors" f32/model.safetensors

# types
types() { "$coador" tensors list --json "$1/model.safetensors" | sed 's/.*"dtype":"\([^"]*\)".*/\1/' | sort -u | tr '\n' ' '; }
dtype() { sed -n 's/.*"dtype": "\([a-z0-9]*\)".*/\1/p' "$1/config.json"; }
ok 'the base'"'"'s type' merge --model "$base" --adapter "$peft" -o kept
is 'bf16' "$(types kept)$(dtype kept)" 'bf16 bfloat16'
ok 'f16' merge --model "$base" --adapter "$peft" --to f16 -o half
is 'f16 in file and config' "$(types half)$(dtype half)" 'f16 float16'
is 'f32 in file and config' "$(types f32)$(dtype f32)" 'f32 float32'
ok 'scale 0' merge --model "$base" --adapter "$peft=0" -o zero
exits 'is the base' 0 '' "$coador" tensors compare --tolerance 0 "$base/model.safetensors" zero/model.safetensors
exits 'a scale that f16 cannot hold' 3 'tensor model\.layers\.0\..* is not finite as f16$' merge --model "$base" --adapter "$peft=1e9" --to f16 -o none
merge --model "$base" --adapter "$peft" --threads 3 -o three >/dev/null
ok 'any number of threads' cmp kept/model.safetensors three/model.safetensors

# packed bases
exits 'GGUF blocks' 2 'tensor model\.embed_tokens\.weight is packed as q8_0, .*--dequantize' merge --model "$gguf" --adapter "$peft" -o none
ok 'GGUF blocks, unpacked' merge --model "$gguf" --adapter "$peft" --dequantize -o g
is 'in f32' "$(types g)$(dtype g)" 'f32 float32'
is 'measured' "$(grep -Ec 'the packed base .* [0-9.]+e-0[6-9] of the largest logit' .out)" 1
is 'answers of the packed base and adapter' "$(gen --model g)" "$(gen --model "$gguf" --adapter "$peft")"
cp -r "$SRC/tests/data/quant/nf4" nf4 && cp "$base/tokenizer.json" nf4
exits 'nf4' 2 'self_attn\.q_proj\.weight is packed as nf4' merge --model nf4 --adapter "$peft" -o none
ok 'nf4, unpacked to bf16' merge --model nf4 --adapter "$peft" --dequantize --to bf16 -o n
is 'no quantisation is left' "$(types n)$(dtype n)$(grep -c quant n/config.json)" 'bf16 bfloat160'
ok 'a plain base may be unpacked' merge --model "$base" --adapter "$peft" --dequantize -o plain
"$coador" tensors random "$base" -o s.st.zst
ok 'a stream in a file' merge --model s.st.zst --adapter "$peft" --to f32 -o s
is 'its answers' "$(gen --model s)" "$(gen --model s.st.zst --adapter "$peft")"
ok 'a stream from a pipe' sh -c 'cat s.st.zst | "$0" lora-merge --model - --adapter "$1" --to f32 -o piped' "$coador" "$peft"
ok 'the same' diff -r s piped

# probes
ok '--probe' merge --model "$base" --adapter "$peft" --probe p.jsonl -o probed
is '--probe: its texts' "$(grep -o 'in 2 texts' .out)" 'in 2 texts'
printf '{"prompt":"ab"}\n{"prompt":7}\n' >bad.jsonl
exits '--probe: no prompt' 3 '^lora-merge: bad.jsonl:2: no prompt' merge --model "$base" --adapter "$peft" --probe bad.jsonl -o none
exits '--probe: empty' 3 '^lora-merge: /dev/null: no record' merge --model "$base" --adapter "$peft" --probe /dev/null -o none
printf '{"prompt":"%0600d"}\n' 1 >long.jsonl
exits '--probe: too long' 3 '^lora-merge: long.jsonl:1: [0-9]+ tokens do not fit' merge --model "$base" --adapter "$peft" --probe long.jsonl -o none
exits '--probe: missing' 4 'cannot open.*nope.jsonl|nope.jsonl' merge --model "$base" --adapter "$peft" --probe nope.jsonl -o none
exits '--limit' 1 'the largest difference is 0\.[0-9]+ of the largest logit, the limit 1e-09: nothing was written' merge --model "$base" --adapter "$peft" --to f16 --limit 1e-9 -o none

# adapters that do not fit
exits 'no adapter there' 4 'nowhere/adapter_config.json' merge --model "$base" --adapter nowhere -o none
cp -r "$peft" short && truncate -s -40 short/adapter_model.safetensors
exits 'a truncated adapter' 3 '^lora-merge: short/adapter_model.safetensors: ' merge --model "$base" --adapter short -o none
cp -r "$peft" rank && sed 's/"r": 4/"r": 5/' "$peft/adapter_config.json" >rank/adapter_config.json
exits 'another rank' 3 'lora_A.weight has shape' merge --model "$base" --adapter rank -o none
cp -r "$peft" other && printf '{"format":1,"coador":"0","base_sha256":"%064d","tokenizer_sha256":"%064d","template":"llama-3"}' 1 2 >other/coador.json
exits 'another base' 3 'trained on another base' merge --model "$base" --adapter other -o none
exits '--any-base; and its template is named' 0 'other was trained with chat template llama-3: ask the merged model with --chat' merge --model "$base" --adapter other --any-base -o any
exits 'an infinite scale' 2 'the scale is not a finite number' merge --model "$base" --adapter "$peft=inf" -o none

# the command line
exits 'no model' 2 '--model is missing' merge --adapter "$peft" -o none
exits 'no adapter' 2 '--adapter is missing' merge --model "$base" -o none
exits 'no output' 2 '-o DIR is missing' merge --model "$base" --adapter "$peft"
exits 'standard output' 2 'a model is a directory' merge --model "$base" --adapter "$peft" -o -
exits 'an operand' 2 'no operand is expected' merge --model "$base" --adapter "$peft" -o none x
exits 'standard input twice' 2 'cannot both be standard input' merge --model - --adapter "$peft" --probe - -o none
exits 'no model there' 4 'nope.gguf' merge --model nope.gguf --adapter "$peft" -o none

# what is written over, and what is not
cp -r "$base" b && chmod u+w b b/* && mkdir -p b/in things && cp -r "$peft" b/in/peft && touch things/precious
exits 'over the base' 2 '-o b would replace the model b' merge --model b --adapter "$peft" -o b
exits 'over a file of the base' 2 'would replace the model' merge --model b/model.safetensors --adapter "$peft" -o b
exits 'over an adapter' 2 '-o b would replace the adapter b/in/peft' merge --model "$base" --adapter b/in/peft -o b
exits 'over the working directory' 2 'would replace the working directory' merge --model "$base" --adapter "$peft" -o .
exits 'over other things' 2 'things is there and holds no model' merge --model "$base" --adapter "$peft" -o things
exits 'over a file' 2 'p.jsonl is there and holds no model' merge --model "$base" --adapter "$peft" -o p.jsonl
ok 'all of them are still there' test -f b/model.safetensors -a -f b/in/peft/adapter_config.json -a -f things/precious -a -f p.jsonl
touch kept/old
ok 'over an earlier merge' merge --model "$base" --adapter "$peft" --to f32 -o kept
is 'which goes whole' "$(types kept)$(ls kept | wc -l)" 'f32 4'
mkdir empty
ok 'over an empty directory' merge --model "$base" --adapter "$peft" -o empty
exits 'a full disk' 4 'File too large|No space left' bash -c 'trap "" XFSZ; ulimit -f 40; exec "$0" lora-merge --model "$1" --adapter "$2" --to f32 -o none' "$coador" "$base" "$peft"
exits 'below a file' 4 'p.jsonl' merge --model "$base" --adapter "$peft" -o p.jsonl/x
is 'no temporary, nothing half-written is left' "$(ls -d none* *.tmp* 2>/dev/null)" ''

# transformers and PEFT
if [ -n "${PEERS_PYTHON:-}" ]; then
    ok 'transformers: merged f32 is base and adapters in PEFT' "$PEERS_PYTHON" "$SRC/tests/oracle/merge.py" 1e-4 "$base" f32 "$peft" "$rs=-0.5"
else
    skip 'transformers: merged f32 is base and adapters in PEFT' 'PEERS_PYTHON is not set'
fi
done_testing
