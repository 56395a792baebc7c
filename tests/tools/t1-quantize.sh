# quantize: every type to a directory and to a stream, read back, compared with its source; report; what is refused.
. "$SRC/tests/lib.sh" || exit 1
base=$SRC/tests/data/adapters/base
gguf=$SRC/tests/data/gguf/good-llama3.gguf
q() { "$coador" quantize --quiet "$@"; }
field() { # field FILE NAME: of the total
    sed -n 's/^{"total":true.*"'"$2"'":\([^,}]*\).*/\1/p' "$1"
}
above() { awk -v x="$1" -v y="$2" 'BEGIN { exit !(x + 0 > y + 0) }'; }

for t in f32 f16 bf16 int8 nf4 fp4 ternary; do
    ok "$t: a directory" q --to $t --report $t.jsonl "$base" -o $t
    ok "$t: a stream" q --to $t "$base" -o $t.st.zst
    ok "$t: the stream is whole" "$coador" tensors verify $t.st.zst
    ok "$t: both hold the same" "$coador" tensors compare --tolerance 0 $t.st.zst $t/model.safetensors
    is "$t: a report of each linear and of all" "$(wc -l <$t.jsonl)" 15
done
is 'bf16 from bf16 is the source' "$(field bf16.jsonl rmse) $(field bf16.jsonl snr_db)" '0 null'
is 'f32 too' "$(field f32.jsonl cosine)" 1
ok 'int8: more than 40 dB' above "$(field int8.jsonl snr_db)" 40
ok 'nf4: more than 20 dB' above "$(field nf4.jsonl snr_db)" 20
ok 'fp4: less than nf4' above "$(field nf4.jsonl snr_db)" "$(field fp4.jsonl snr_db)"
ok 'ternary: less than fp4' above "$(field fp4.jsonl snr_db)" "$(field ternary.jsonl snr_db)"
ok 'f32 holds the bytes of bf16' "$coador" tensors compare --tolerance 0 f32/model.safetensors "$base/model.safetensors"

# bitsandbytes' own files, tensor by tensor
ok 'nf4, doubly quantised' q --to nf4 --double-quant "$base" -o nested
hashes() { "$coador" tensors list --json "$1" | grep -E "$2" | sed 's/.*"name":"\([^"]*\)".*"sha256":"\([^"]*\)".*/\1 \2/' | sort; }
is 'int8: the bytes that bitsandbytes saved' "$(hashes int8/model.safetensors _proj)" "$(hashes "$SRC/tests/data/quant/int8/model.safetensors" _proj)"
is 'fp4: the bytes that bitsandbytes saved' "$(hashes fp4/model.safetensors '_proj.weight"|absmax|quant_map')" "$(hashes "$SRC/tests/data/quant/fp4/model.safetensors" '_proj.weight"|absmax|quant_map')"
is 'nf4: the bytes that bitsandbytes saved' "$(hashes nested/model.safetensors '_proj.weight"|quant_map')" "$(hashes "$SRC/tests/data/quant/nf4/model.safetensors" '_proj.weight"|quant_map')"
ok 'nf4: config.json says so' grep -q '"bnb_4bit_use_double_quant": true' nested/config.json

# read back, and one thread or two
echo '{"id":"a","prompt":"ab","completion":"cd"}' >one.jsonl
for t in int8 nf4 ternary nested; do
    ok "$t: the directory is a model" "$coador" generate --model $t --score one.jsonl -o $t.scored
done
ok 'a stream through a pipe is one' sh -c '"$0" quantize --quiet --to nf4 "$1" | "$0" generate --model - --score one.jsonl -o pipe.scored' "$coador" "$base"
ok 'and scores the same' cmp nf4.scored pipe.scored
ok 'one thread' q --threads 1 --to ternary "$base" -o t1
ok 'gives the same bytes' cmp t1/model.safetensors ternary/model.safetensors

# from GGUF: names, order of rows, tokenizer
ok 'from GGUF' q --to nf4 "$gguf" -o from-gguf
ok 'the same linears as from the directory' "$coador" tensors compare --tolerance 0 from-gguf/model.safetensors nf4/model.safetensors
ok 'scores the same' sh -c '"$0" generate --model from-gguf --score one.jsonl -o g.scored && cmp g.scored nf4.scored' "$coador"

# refusals
exits 'a quantised source' 2 'is nf4 already: quantising it again needs --allow-requantize' q --to int8 nf4 -o again
ok 'nothing is left' test ! -e again
ok 'unless it is allowed' q --to int8 --allow-requantize nf4 -o again
ok 'dequantising needs no leave' q --to f32 nf4 -o plain
ok 'and gives the same scores' sh -c '"$0" generate --model plain --score one.jsonl -o p.scored && cmp p.scored nf4.scored' "$coador"
exits 'ternary says what it does' 0 'ruins it' "$coador" quantize --to ternary "$base" -o t2
exits 'no type' 2 'to TYPE is missing' q "$base" -o x
exits 'another type' 2 'expected one of' q --to q4_0 "$base" -o x
exits 'scales of int8' 2 'double-quant is for nf4 and fp4' q --to int8 --double-quant "$base" -o x
exits 'a level for a directory' 2 'level is for streams' q --to int8 --level 3 "$base" -o x
exits 'a level of zstd' 2 'expected none or 1 to 19' q --to int8 --level 20 "$base"
exits 'no model' 2 'MODEL is missing' q --to int8 -o x
exits 'no such model' 4 'nowhere' q --to int8 nowhere -o x
mkdir full && echo keep >full/notes
exits 'a directory that is none of ours' 4 'full is there and no model' q --to int8 "$base" -o full
is 'keeps what it holds' "$(ls full)" notes
exits 'a full disk' 4 'No space left' sh -c '"$0" quantize --quiet --to int8 "$1" >/dev/full' "$coador" "$base"
head -c 3000 "$gguf" >cut.gguf
exits 'a cut file' 3 'cut.gguf' q --to int8 cut.gguf -o x
ok 'leaves nothing' test ! -e x
done_testing
