# The real model quantised here and by bitsandbytes: the same bytes; loaded by transformers: the same log-probabilities.
# PEERS_PYTHON: a python3 with torch, transformers, bitsandbytes, gguf (tests/oracle/*.py name the versions).
. "$SRC/tests/lib.sh" || exit 1
model=$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$model" ] || skip_all 'the model is not here: make model'
[ -n "${PEERS_PYTHON-}" ] || skip_all 'PEERS_PYTHON is not set'
cat >rows.jsonl <<'R'
{"id":"a","prompt":"The capital of France is","completion":" Paris, a city of 2 million people."}
{"id":"b","prompt":"Choveu forte e a ponte caiu em 1987. Resultado:","completion":" {\"polaridade\": \"Negativo\"}"}
R
write() { "$coador" quantize --quiet --allow-requantize "$@"; }
ok 'nf4' write --to nf4 "$model" -o nf4
ok 'nf4, doubly quantised' write --to nf4 --double-quant "$model" -o nested
ok 'fp4' write --to fp4 "$model" -o fp4
ok 'int8' write --to int8 "$model" -o int8
ok 'every linear has the bytes of bitsandbytes' "$PEERS_PYTHON" "$SRC/tests/oracle/bnb_model.py" nf4=nf4 nf4-nested=nested fp4=fp4 int8=int8
sed 's/^/# /' "$T/.out"
for d in nested int8; do
    ok "$d: scores" "$coador" generate --model $d --score rows.jsonl -o $d.scored
    ok "$d: transformers gives the same within 1e-3" "$PEERS_PYTHON" "$SRC/tests/oracle/load_quantised.py" $d $d.scored
    sed 's/^/# /' "$T/.out"
done
done_testing
