# A teacher in process: a tiny model taught to give reasons and labels; the same bytes for any batch; mixed with a served one.
. "$SRC/tests/lib.sh"
. "$SRC/tests/servers/lib.sh"
export OMP_NUM_THREADS=1
M=$SRC/tests/data/train/tiny
python3 -c "
import json
for i in range(12): print(json.dumps({'id': i, 'prompt': f'id=r{i} ' + 'abc'[i % 3] * 4, 'completion': json.dumps({'raciocinio': 'abc'[i % 3], 'p': ['Positivo', 'Negativo', 'Neutro'][i % 3]})}))" >train.jsonl
ok "a tiny model learns" "$coador" lora-train --model "$M" --targets all-linear --rank 16 --alpha 32 --dropout 0 --lr 1e-2 --schedule cosine --batch 12 --max-steps 150 -q -o adapter train.jsonl
jq -c 'del(.completion)' train.jsonl >rows.jsonl
local() { label --teacher "local:$M,adapter=adapter" --reasoning-key raciocinio --max-tokens 64 --threads 1 "$@" rows.jsonl; }
ok "labels" local --batch 8 --cache cache.jsonl -o out.jsonl
is "as it was taught" "$(jq -r .completion out.jsonl | grep -c '^{"raciocinio":"[abc]","p":"')" 12
ok "one at a time" local --batch 1 -o one.jsonl
ok "the same bytes" cmp out.jsonl one.jsonl
ok "from the cache" local --batch 8 --cache cache.jsonl --summary s.json -o again.jsonl
is "without asking" "$(jq -c '[.asked,.cached]' s.json) $(cmp out.jsonl again.jsonl && echo same)" '[0,12] same'
local --samples 3 --temperature 1 --batch 8 >s8.jsonl 2>err; local --samples 3 --temperature 1 --batch 3 >s3.jsonl 2>err
ok "samples do not depend on their company" cmp s8.jsonl s3.jsonl
head -5 rows.jsonl >head; mv rows.jsonl all; sed 1,2d head >rows.jsonl; local --samples 3 --temperature 1 >part.jsonl 2>err; mv all rows.jsonl
ok "nor on where the record stands" sh -c 'sed -n 3,5p s8.jsonl | cmp - part.jsonl'
is "held to the schema, an untaught model fits it too" "$(label --teacher "local:$M" --reasoning-key raciocinio --max-tokens 60 --threads 1 rows.jsonl 2>err | jq -r .parsed.p | grep -c '^[PN]')" 12
is "but not when left free" "$(label --teacher "local:$M" --response-format none --max-tokens 20 --threads 1 rows.jsonl 2>err | jq -c .parsed | sort -u)" null
exits "too few tokens for any answer" 3 'max-tokens 5 is too few' label --teacher "local:$M" --max-tokens 5 rows.jsonl
serve mixed
ok "an ensemble of both" local --teacher openai:m --base-url "$URL" --agree most --summary s.json -o mixed.jsonl
is "two answers a record" "$(jq -c '[.asked,(.agreement[0].kappa[0].rows)]' s.json)" '[24,12]'
exits "a model that is not there" 4 'nowhere' label --teacher local:nowhere rows.jsonl
done_testing
