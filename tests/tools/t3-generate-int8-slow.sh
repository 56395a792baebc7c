# generate --compute int8 on the real model: its bytes depend on neither batch nor threads; what does not go with it
. "$SRC/tests/lib.sh"
M=$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$M" ] || skip_all "no model (make model)"
gen() { "$coador" generate --device cpu --model "$M" "$@"; }
printf '{"prompt":"%s"}\n' "Water boils at" "The capital of France is a city called" "1, 2, 3, 4, 5," >q.jsonl
gen -n 12 --compute int8 --batch 1 --threads 1 q.jsonl >a.jsonl
gen -n 12 --compute int8 --batch 3 --threads 2 q.jsonl >b.jsonl
is "answers" "$(wc -l <a.jsonl)" 3
ok "the same bytes for any batch size and thread count" cmp a.jsonl b.jsonl
is "it counts" "$(sed -n 3p a.jsonl | jq -r '.output[0:6]')" " 6, 7,"
is "a choice is kept" "$(sed -n 2p q.jsonl | gen --compute int8 --choice ' Paris, London' | jq -r .output)" " Paris"
exits "scores are f32" 2 "compute has no meaning" gen --score --compute int8 q.jsonl
exits "an unknown way" 2 "compute" gen --compute int4 q.jsonl
done_testing
