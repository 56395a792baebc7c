# Soft labels: generate --score --top-k writes them, lora-train --teacher-logits learns from them, and neither takes what does not fit.
. "${SRC:-.}/tests/lib.sh"
export OMP_NUM_THREADS=1 COADOR_DEVICE=cpu # the model is tiny; no card has the ops
D=$SRC/tests/data/train
A=adapter_model.safetensors
teach="$coador generate --model $D/tiny --adapter $D/teacher --score --top-k 16 --temperature 2"
common="--targets all-linear --rank 4 --alpha 16 --dropout 0.1 --lr 4e-3 --schedule cosine --set warmup_steps=2 --set logging_steps=1 --max-steps 6 --seed 3 -q"
lt="$coador lora-train --model $D/tiny $common --teacher-logits soft.st.zst --distill-alpha 0.7"
field() { sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p" "$2"; }
close_to() { # close_to FIELD A B: every value within 1e-5 of the other file's
    field "$1" "$2" >a.txt; field "$1" "$3" >b.txt
    [ -s a.txt ] && [ "$(wc -l <a.txt)" = "$(wc -l <b.txt)" ] && paste a.txt b.txt | awk '{ d = $1 - $2; if (!(d <= 1e-5 * $2 && d >= -1e-5 * $2)) { print; bad = 1 } } END { exit bad }'
}
differ() { ! cmp -s "$1" "$2"; }

# The stream.
ok "a teacher's soft labels" $teach -o soft.st.zst "$D/rows.jsonl"
is "what is in them" "$("$coador" tensors list soft.st.zst | awk 'NR > 1 { printf "%s %s %s, ", $1, $2, $3 }')" "row_offset i64 41, token_id i32 736, topk_id i32 736x16, topk_logp f32 736x16, tail_logp f32 736, "
ok "a whole stream" "$coador" tensors verify soft.st.zst
ok "the same through pipes, with two threads" sh -c "OMP_NUM_THREADS=2 $teach --threads 2 <'$D/rows.jsonl' | cmp - soft.st.zst"
ok "the temperature is 1 unless told" sh -c "$coador generate --model $D/tiny --score --top-k 4 '$D/rows.jsonl' | zstd -dc | head -c 900 | grep -aq '\"temperature\":\"1\"'"
exits "a temperature without --top-k" 2 'temperature with --top-k only' "$coador" generate --model "$D/tiny" --score --temperature 2 "$D/rows.jsonl"
exits "temperature 0" 2 'expected 0.001 to 1000' "$coador" generate --model "$D/tiny" --score --top-k 4 --temperature 0 -o x "$D/rows.jsonl"
exits "as many as the vocabulary" 3 "fewer than the vocabulary's 264" "$coador" generate --model "$D/tiny" --score --top-k 264 -o x "$D/rows.jsonl"
exits "more than an op takes" 2 'expected 1 to 1024' "$coador" generate --model "$D/tiny" --score --top-k 1025 -o x "$D/rows.jsonl"
exits "nothing to score" 3 'no record has a completion' sh -c "echo '{\"prompt\":\"a\"}' | $teach -o x"
ok "no output then" sh -c '! ls x 2>/dev/null'

# What must not matter does not.
ok "learns, 4x4" $lt --batch 4 --accumulation 4 -o a "$D/rows.jsonl"
ok "16x1" $lt --batch 16 --accumulation 1 -o b "$D/rows.jsonl"
ok "4x4 = 16x1: losses" close_to loss a/metrics.jsonl b/metrics.jsonl
ok "4x4 = 16x1: the same adapter" cmp a/$A b/$A
ok "two threads" $lt --batch 4 --accumulation 4 --threads 2 -o t2 "$D/rows.jsonl"
ok "1 = 2 threads: the same bytes" cmp a/$A t2/$A
ok "each row a pass of its own" $lt --batch 4 --accumulation 4 --tokens-per-pass 1 -o sep "$D/rows.jsonl"
ok "packed = separate: losses" close_to loss a/metrics.jsonl sep/metrics.jsonl
ok "packed = separate: gradient norms" close_to grad_norm a/metrics.jsonl sep/metrics.jsonl
ok "the teacher in a pipe" sh -c "$teach '$D/rows.jsonl' | $coador lora-train --model $D/tiny $common --teacher-logits - --distill-alpha 0.7 --batch 4 --accumulation 4 -o pipe '$D/rows.jsonl'"
ok "the same from the pipe" cmp a/$A pipe/$A
ok "as the safetensors file in it" sh -c "zstd -qdc soft.st.zst >soft.safetensors && $coador lora-train --model $D/tiny $common --teacher-logits soft.safetensors --set distill_alpha=0.7 --batch 4 --accumulation 4 -o plain '$D/rows.jsonl'"
ok "the same from it, the share from the configuration" cmp a/$A plain/$A
ok "the reference ops" $lt --batch 4 --accumulation 4 --device ref -o ref "$D/rows.jsonl"
ok "cpu = ref: losses" close_to loss a/metrics.jsonl ref/metrics.jsonl
ok "only ops touch the labels" $lt --batch 4 --accumulation 4 --max-steps 2 --device poison -o poison "$D/rows.jsonl"
ok "no teacher" "$coador" lora-train --model "$D/tiny" $common --batch 4 --accumulation 4 -o hard "$D/rows.jsonl"
ok "alpha 0" $lt --distill-alpha 0 --batch 4 --accumulation 4 -o zero "$D/rows.jsonl"
ok "alpha 0 is training without a teacher" close_to loss zero/metrics.jsonl hard/metrics.jsonl
ok "alpha 0.7 is not" differ a/$A hard/$A
sed 's/}$/,"weight":0.5}/' "$D/rows.jsonl" >half.jsonl
ok "weights of a half" $lt --batch 4 --accumulation 4 --max-steps 2 -o half half.jsonl
is "halve the loss" "$(awk "BEGIN { d = $(field loss half/metrics.jsonl | head -1) / $(field loss a/metrics.jsonl | head -1) - 0.5; print (d * d < 1e-12) }")" 1
ok "evaluates without soft labels" $lt --batch 4 --eval "$D/eval.jsonl" -o ev "$D/rows.jsonl"

# Killed and resumed.
long="$lt --max-steps 400 --batch 4 --set save_steps=5 --resume"
ok "unbroken" $long -o whole "$D/rows.jsonl"
sh -c "exec $long -o killed $D/rows.jsonl" 2>killed.err & pid=$!
until ls killed/checkpoints/step-*/state.json >/dev/null 2>&1 || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
ok "killed before its end" [ ! -e killed/$A ]
ok "resumes" $long -o killed "$D/rows.jsonl"
ok "to the same adapter" cmp whole/$A killed/$A
exits "not with another share" 3 'distill_alpha is 0.7 in the checkpoint and 0.6 now' $long --distill-alpha 0.6 -o whole "$D/rows.jsonl"
ok "another teacher" sh -c "$coador generate --model $D/tiny --score --top-k 16 '$D/rows.jsonl' >other.st.zst"
exits "nor with another teacher" 3 'teacher_logits is' "$coador" lora-train --model "$D/tiny" $common --teacher-logits other.st.zst --distill-alpha 0.7 --max-steps 400 --batch 4 --set save_steps=5 --resume -o whole "$D/rows.jsonl"

# Records that failed.
{ sed -n 1,3p "$D/rows.jsonl"; echo '{"id":"bad","prompt":"a","error":"before"}'; sed -n 4,6p "$D/rows.jsonl"; echo '{"id":"empty","prompt":"a"}'; } >some.jsonl
ok "records with errors" sh -c "$teach some.jsonl >some.st.zst 2>some.err"
ok "are told and counted" sh -c 'grep -q "line 8: no completion" some.err && grep -q "2 of 8 records have no soft labels" some.err'
exits "--max-rejects counts them" 1 '' $teach --max-rejects 1 -o some2.st.zst some.jsonl
one="$coador lora-train --model $D/tiny $common --max-steps 2 -o x --overwrite --teacher-logits"
ok "and may be left out" $one some.st.zst --skip-incomplete some.jsonl
sed 's/,"error":"before"/,"completion":"x"/' some.jsonl >mended.jsonl
exits "but not trained" 3 'mended.jsonl:4: some.st.zst: 2 trained tokens, but the teacher scored 0.*had an error' $one some.st.zst --skip-incomplete mended.jsonl

# What does not fit.
head -39 "$D/rows.jsonl" >fewer.jsonl
exits "fewer records" 3 'made of 40 records, but fewer.jsonl has 39' $one soft.st.zst fewer.jsonl
sed '7s/"id": "6"/"id": "x"/' "$D/rows.jsonl" >ids.jsonl
exits "other ids" 3 'records with other ids than those of ids.jsonl' $one soft.st.zst ids.jsonl
sort -r "$D/rows.jsonl" >turned.jsonl
exits "another order" 3 'or in another order' $one soft.st.zst turned.jsonl
sed '3s/"p\\"/"q\\"/' "$D/rows.jsonl" >text.jsonl
exits "another text" 3 'text.jsonl:3: soft.st.zst: trained token 4 is 80, but the teacher scored 79 there' $one soft.st.zst text.jsonl
exits "--loss all" 3 'rows.jsonl:1: soft.st.zst: 69 trained tokens, but the teacher scored 17' $one soft.st.zst --loss all "$D/rows.jsonl"
"$coador" generate --model "$SRC/tests/data/adapters/base" --score --top-k 16 "$D/rows.jsonl" >foreign.st.zst
exits "another tokenizer" 3 'the teacher has another tokenizer' $one foreign.st.zst "$D/rows.jsonl"
head -c 20000 soft.st.zst >cut.st.zst
exits "a cut stream" 3 'cut.st.zst: ' $one cut.st.zst "$D/rows.jsonl"
exits "a cut pipe" 3 'stdin: ' sh -c "$one - '$D/rows.jsonl' <cut.st.zst"
exits "a model" 3 'no tensor row_offset, expected soft labels' $one "$D/tiny/model.safetensors" "$D/rows.jsonl"
python3 - <<'P'
import json, struct
b = open("soft.safetensors", "rb").read()
n = struct.unpack("<Q", b[:8])[0]
h, data = json.loads(b[8:8 + n]), bytearray(b[8 + n:])
def write(name, change, header=h):
    d = bytearray(data)
    change(d)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(name, "wb").write(struct.pack("<Q", len(text)) + text + d)
at = lambda t, i: h[t]["data_offsets"][0] + i
def put(t, i, fmt, v): return lambda d: struct.pack_into(fmt, d, at(t, i), v)
write("b-same.safetensors", lambda d: None)
write("b-nan.safetensors", put("topk_logp", 400, "<f", float("nan")))
write("b-tail.safetensors", put("tail_logp", 4, "<f", float("nan")))
write("b-sum.safetensors", put("topk_logp", 400, "<f", 0.0))
write("b-id.safetensors", put("topk_id", 60, "<i", 264))
write("b-twice.safetensors", put("topk_id", 4, "<i", struct.unpack_from("<i", data, at("topk_id", 0))[0]))
write("b-offset.safetensors", put("row_offset", 8, "<q", 1 << 60))
write("b-end.safetensors", put("row_offset", 320, "<q", 737))
for key, v in (("temperature", "0"), ("temperature", "nan"), ("temperature", "2x")):
    write(f"b-T{v}.safetensors", lambda d: None, {**h, "__metadata__": {**h["__metadata__"], key: v}})
g = json.loads(json.dumps(h)); g["topk_logp"]["shape"] = [736 * 16, 1]
write("b-shape.safetensors", lambda d: None, g)
P
ok "the file as it was" $one b-same.safetensors "$D/rows.jsonl"
exits "no number" 3 'place 6 has no ascending ids' $one b-nan.safetensors "$D/rows.jsonl"
exits "no number in the tail" 3 'place 1 has' $one b-tail.safetensors "$D/rows.jsonl"
exits "probabilities beyond 1" 3 'place 6 has' $one b-sum.safetensors "$D/rows.jsonl"
exits "an id beyond the vocabulary" 3 'place 0 has no ascending ids below 264' $one b-id.safetensors "$D/rows.jsonl"
exits "an id twice" 3 'place 0 has' $one b-twice.safetensors "$D/rows.jsonl"
exits "an offset beyond all" 3 'row_offset does not ascend' $one b-offset.safetensors "$D/rows.jsonl"
exits "an end beyond the tokens" 3 'row_offset does not ascend' $one b-end.safetensors "$D/rows.jsonl"
exits "temperature 0" 3 'temperature is "0"' $one b-T0.safetensors "$D/rows.jsonl"
exits "temperature nan" 3 'temperature is "nan"' $one b-Tnan.safetensors "$D/rows.jsonl"
exits "temperature 2x" 3 'temperature is "2x"' $one b-T2x.safetensors "$D/rows.jsonl"
exits "other sizes" 3 "sizes contradict each other" $one b-shape.safetensors "$D/rows.jsonl"
exits "a share without a teacher" 2 'distill_alpha needs a teacher' "$coador" lora-train --model "$D/tiny" --distill-alpha 0.5 -o y "$D/rows.jsonl"
exits "a share beyond 1" 2 'distill-alpha: expected a number of at least 0 and at most 1' $one soft.st.zst --distill-alpha 1.5 "$D/rows.jsonl"
exits "one standard input for two" 2 'named twice' sh -c "$one - </dev/null"
exits "not with --estimate" 2 'no meaning with --estimate' $one soft.st.zst --estimate "$D/rows.jsonl"
done_testing
