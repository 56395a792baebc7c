#!/usr/bin/env bash
# On a machine with an NVIDIA card: the ops against their reference, training parity with the CPU, and the speed table of a
# random Llama-3.2-1B. One JSON line a row on stdout, all else on stderr; 0 when every test passed.
# usage: cuda.sh BUILD [PART ...]     parts: ops parity products speed small fp8 memory lengths answers profile sanitize (default: ops parity speed)
# BUILD: made by `make CUDA=1 all tests BUILD/tests/bench/cuda_decode BUILD/tests/bench/cuda_ops BUILD/tests/bench/cuda_memory`; it may be a copy. CARD_MODEL: a model for the parity (a shortened one will do:
# tests/oracle/shorten_gguf.py), else FETCHED's. NF4=1 adds the rows of the quantised base. Needs CUDA's libraries and 16 GB of
# memory; jq is not needed, python3 only for `profile`.
set -uo pipefail
src=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
shift
parts=${*:-ops parity speed}
export SRC=$src FETCHED=${FETCHED:-$src/.fetched} CMOCKA_MESSAGE_OUTPUT=TAP COADOR_DEVICE=${COADOR_DEVICE:-cuda}
export COADOR_CUDA=${COADOR_CUDA:-$build/libexec/coador/libcoador-cuda.so}
tools=$build/libexec/coador
card=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

tests() { # tests KIND NAME ...: TAP to stderr, a row of counts
    local kind=$1 name out ok bad
    shift
    for name; do
        out=$("$build/tests/$kind/test_$name" 2>&1)
        printf '%s\n' "$out" >&2
        ok=$(grep -c '^ok [1-9]' <<<"$out")
        bad=$(grep -c '^not ok [0-9]' <<<"$out")
        [ "$ok" -gt 0 ] && [ "$bad" = 0 ] && [[ $out != *SKIP* ]] || failed=1
        printf '{"test":"%s","passed":%d,"failed":%d,"card":"%s"}\n' "$name" "$ok" "$bad" "$card"
    done
}

# Rows of random token ids, all trained: rows N MEAN SPREAD [IDS]
rows() {
    awk -v n="$1" -v mean="$2" -v spread="$3" -v ids="${4:-128000}" 'BEGIN {
        srand(1)
        for (i = 0; i < n; i++) {
            z = sqrt(-2 * log(1 - rand())) * cos(6.2831853 * rand()); len = int(mean + spread * z); if (len < 2) len = 2
            s = ""
            for (t = 0; t < len; t++) s = s (t ? "," : "") int(rand() * ids)
            print "{\"input_ids\":[" s "],\"labels\":[" s "]}"
        }
    }'
}

model() { # the shape of Llama-3.2-1B
    [ -d "$work/model" ] && return
    cat >"$work/config.json" <<'JSON'
{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":2048,"intermediate_size":8192,"num_hidden_layers":16,
 "num_attention_heads":32,"num_key_value_heads":8,"head_dim":64,"vocab_size":128256,"tie_word_embeddings":true,"rms_norm_eps":1e-05,
 "rope_theta":500000.0,"rope_scaling":{"factor":32.0,"high_freq_factor":4.0,"low_freq_factor":1.0,"original_max_position_embeddings":8192,"rope_type":"llama3"},
 "max_position_embeddings":131072,"hidden_act":"silu","bos_token_id":128000,"eos_token_id":128001,"initializer_range":0.02,"torch_dtype":"bfloat16"}
JSON
    "$tools/tensors" random --directory --tokenizer "$src/tests/data/tokenizer/llama-bpe.json" -o "$work/model" "$work/config.json" >&2 || exit 1
}

# Of the JSON line that awk reads: the value of a member, as text
field='function field(k,   s) { s = $0; if (!sub(".*\"" k "\": *", "", s)) return ""; sub("[,}].*", "", s); return s }'

# A token of these shapes takes 4.95 GFLOP (forward and the gradients that LoRA needs): shares of the card's 989 TFLOP/s and of its measured
# product, 798. Peak is the card's by nvidia-smi; held and estimated are what lora-train says of itself (its own memory, and what --estimate counts).
train() { # train NAME MODEL ROWS STEPS BATCH TOKENS_PER_PASS DROPOUT [OPTION ...]
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 200 >"$work/memory" 2>/dev/null &
    local watch=$! rc=0 name=$1 held estimated
    "$tools/lora-train" --model "$2" --device "$COADOR_DEVICE" --rank 16 --alpha 64 --targets all-linear --dropout "$7" --batch "$5" --accumulation 1 \
        --max-steps "$4" --tokens-per-pass "$6" --loss all --lr 1e-4 --no-shuffle --set logging_steps=1 --overwrite -o "$work/adapter" "${@:8}" "$3" 2>"$work/said" || rc=$?
    kill "$watch" && wait "$watch" 2>/dev/null
    cat "$work/said" >&2
    read -r held estimated < <(sed -n 's/.*memory of cuda[^ ]*: \([0-9]*\) MiB, estimated were \([0-9]*\).*/\1 \2/p' "$work/said")
    [ "$rc" = 0 ] || { failed=1; printf '{"work":"%s","failed":%d,"card":"%s"}\n' "$1" "$rc" "$card"; return; }
    awk -v name="$name" -v card="$card" -v peak="$(sort -n "$work/memory" | tail -1)" -v held="${held:-0}" -v estimated="${estimated:-0}" -v flop="${FLOP:-4.95e9}" -v product="${PRODUCT_TFLOPS:-798}" "$field"'
        field("step") + 0 > 3 && field("tok_s") + 0 > 0 { v[n++] = field("tok_s") + 0; of = field("tokens") - before; tokens += of; seconds += of / v[n - 1]; loss = field("loss"); norm = field("grad_norm") }
        field("tok_s") != "" { before = field("tokens") }
        END {
            for (i = 0; i < n; i++) for (j = i + 1; j < n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
            printf "{\"work\":\"%s\",\"tok_s\":%.0f,\"mean\":%.0f,\"tflop_s\":%.0f,\"mfu\":%.3f,\"of_product\":%.3f,\"steps\":%d,\"loss\":%s,\"grad_norm\":%s,\"peak_gib\":%.2f,\"held_gib\":%.3f,\"estimated_gib\":%.3f,\"card\":\"%s\"}\n", name, v[int(n / 2)], tokens / seconds, v[int(n / 2)] * flop / 1e12, v[int(n / 2)] * flop / 989e12, v[int(n / 2)] * flop / product / 1e12, n, loss, norm, peak / 1024, held / 1024, estimated / 1024, card
        }' "$work/adapter/metrics.jsonl"
}

generation() { # generation MODEL: ids in, ids out, batch 1 and 32; and a process from its start to its first token
    local t0 t1
    "$build/tests/bench/cuda_decode" "$1" "$COADOR_DEVICE" 1 32 | awk -v bytes="$(du -cbL "$1"/*.safetensors | tail -1 | cut -f1)" -v card="$card" '
        { sub("\"model\":\"[^\"]*/", "\"model\":\""); speed = batch = $0; sub(".*decode_tok_s\":", "", speed); sub(".*batch\":", "", batch)
          sub("}$", sprintf(",\"gb_s\":%.0f,\"card\":\"%s\"}", (speed + 0) / (batch + 0) * bytes / 1e9, card)); print }' || failed=1
    printf '{"prompt":"One two three"}\n' >"$work/prompt"
    t0=$(date +%s%N)
    "$tools/generate" --model "$1" --device "$COADOR_DEVICE" -n 1 --batch 1 "$work/prompt" >"$work/one" || failed=1
    t1=$(date +%s%N)
    printf '{"model":"%s","start_ms":%d,"card":"%s"}\n' "${1##*/}" $(((t1 - t0) / 1000000)) "$card"
}

nf4() {
    model
    [ -d "$work/nf4" ] || "$tools/quantize" --to nf4 --double-quant --quiet -o "$work/nf4" "$work/model" >&2
}

memory() { # the speed under a limit, and whether limit and estimate hold; without a limit, with each way of recomputing
    nf4 || { failed=1; return; }
    rows 96 2048 0 >"$work/long"
    train "8 x 2048, NF4, under 3.4 GiB" "$work/nf4" "$work/long" 12 8 16384 0 --memory-limit 3.4G
    train "8 x 2048, NF4, under 3.4 GiB, --recompute mlp" "$work/nf4" "$work/long" 12 8 16384 0 --memory-limit 3.4G --recompute mlp # larger passes then
    for how in none mlp layer; do train "8 x 2048, NF4, --recompute $how" "$work/nf4" "$work/long" 12 8 16384 0 --recompute $how; done
    train "8 x 2048, bf16, under 16 GiB" "$work/model" "$work/long" 12 8 16384 0 --memory-limit 16G
}

speed() {
    model
    rows 96 2048 0 >"$work/long"
    rows 384 340 60 >"$work/notebook"
    train "8 x 2048, bf16, dropout 0" "$work/model" "$work/long" 12 8 16384 0
    train "8 x 2048, fp8, dropout 0" "$work/model" "$work/long" 12 8 16384 0 --compute fp8
    train "notebook rows, bf16, dropout 0.1" "$work/model" "$work/notebook" 24 16 8192 0.1
    if [ -n "${NF4:-}" ] && nf4; then
        train "8 x 2048, NF4, dropout 0" "$work/nf4" "$work/long" 12 8 16384 0
        train "8 x 2048, NF4, fp8, dropout 0" "$work/nf4" "$work/long" 12 8 16384 0 --compute fp8
        train "notebook rows, NF4, dropout 0.1" "$work/nf4" "$work/notebook" 24 16 8192 0.1
        generation "$work/nf4"
    fi
    generation "$work/model"
}

# Records of 30 lines each of this project's own text: texts FILE ...
texts() {
    awk 'function put() { if (s != "") print "{\"text\":\"" s "\"}"; s = ""; n = 0 }
        FNR == 1 || n == 30 { put() }
        { gsub(/[\\]/, "/"); gsub(/"/, "\047"); gsub(/[[:cntrl:]]/, " "); s = s $0 "\\n"; n++ }
        END { put() }' "$@"
}

fp8() { # what fp8 does to a training: the losses of the same rows in bf16 and fp8, then of rows that were not trained
    local model=${CARD_MODEL:-$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf} how
    (cd "$src" && texts man/*.1 common/*/*.c kernels/*/*.c* tools/*.c) >"$work/texts"
    (cd "$src" && texts ./*.md kernels/cuda/NOTES.md man/*.5) >"$work/others"
    for how in auto fp8; do
        "$tools/lora-train" --model "$model" --device "$COADOR_DEVICE" --rank 16 --alpha 32 --targets all-linear --dropout 0.1 --batch 8 --accumulation 1 --loss all \
            --compute $how --lr 2e-4 --max-steps "${STEPS:-200}" --set logging_steps=10 --max-length 512 --overlong truncate --eval "$work/others" --set eval_steps=100000 \
            --overwrite -o "$work/curve-$how" "$work/texts" >&2 || { failed=1; return; }
    done
    awk -v card="$card" "$field"'
        { k = /"eval_loss"/ ? "eval_loss" : "loss"; at = field("step"); v = field(k) }
        NR == FNR { base[k at] = v; next }
        { d = v / base[k at] - 1; if (k == "loss" && (d < 0 ? -d : d) > most) most = d < 0 ? -d : d
          printf "{\"step\":%d,\"%s\":%s,\"in fp8\":%s,\"off\":%.5f}\n", at, k, base[k at], v, d }
        END { printf "{\"fp8\":\"loss curve\",\"largest difference\":%.5f,\"card\":\"%s\"}\n", most, card; exit !(most < 0.02) }' \
        "$work/curve-auto/metrics.jsonl" "$work/curve-fp8/metrics.jsonl" || failed=1
}

small() { # launches: the shape of SmolLM2-135M, steps of four short rows
    mkdir -p "$work/small"
    cat >"$work/small/config.json" <<'JSON'
{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":576,"intermediate_size":1536,"num_hidden_layers":30,
 "num_attention_heads":9,"num_key_value_heads":3,"head_dim":64,"vocab_size":49152,"tie_word_embeddings":true,"rms_norm_eps":1e-05,
 "rope_theta":100000.0,"max_position_embeddings":8192,"hidden_act":"silu","bos_token_id":1,"eos_token_id":2,"initializer_range":0.02,"torch_dtype":"bfloat16"}
JSON
    "$tools/tensors" random --directory --tokenizer "$src/tests/data/tokenizer/llama-bpe.json" -o "$work/small/model" "$work/small/config.json" >&2 || { failed=1; return; }
    rows 800 150 30 49152 >"$work/short"
    FLOP=0.55e9 train "4 x N(150, 30), SmolLM2-135M, bf16, dropout 0.1" "$work/small/model" "$work/short" 200 4 8192 0.1
}

products() { # the products of a layer, alone and with LoRA; what memory bounds
    for what in ops memory; do "$build/tests/bench/cuda_$what" "$COADOR_DEVICE" "${ROWS:-16384}" | sed "s|}$|,\"card\":\"$card\"}|" || failed=1; done
}

answers() { # free ones and those under the schemas of pipelines/nyt and nyt-distill, of CARD_MODEL; then as before the card chose by all rules
    local schema
    for schema in nyt/schema nyt-distill/asked; do
        "$build/tests/bench/cuda_answers" "$CARD_MODEL" "$COADOR_DEVICE" "$src/pipelines/$schema.json" 64 512 110 || failed=1
    done | sed "s|}$|,\"card\":\"$card\"}|"
    "$build/tests/bench/cuda_answers" "$CARD_MODEL" "$COADOR_DEVICE" "$src/pipelines/nyt-distill/asked.json" 64 64 110 host alone | sed "s|}$|,\"card\":\"$card\"}|"
}

profile() { # time by kernel of one step, under ncu (which runs kernels one by one)
    model
    rows 24 2048 0 >"$work/long"
    ncu --metrics gpu__time_duration.sum --csv --log-file "$work/ncu.csv" --launch-skip "${SKIP:-0}" --launch-count "${COUNT:-8000}" \
        "$tools/lora-train" --model "$work/model" --device "$COADOR_DEVICE" --rank 16 --alpha 64 --targets all-linear --dropout 0 --batch 8 --accumulation 1 \
        --max-steps 1 --tokens-per-pass 16384 --loss all --lr 1e-4 --no-shuffle --compute "${COMPUTE:-auto}" --overwrite --quiet -o "$work/adapter" "$work/long" >&2
    python3 - "$work/ncu.csv" <<'PY'
import collections, csv, json, sys
lines = [l for l in open(sys.argv[1]) if l.startswith('"')]
total, count = collections.Counter(), collections.Counter()
for r in csv.DictReader(lines):
    if r["Metric Name"] == "gpu__time_duration.sum":
        unit = {"ns": 1e-6, "us": 1e-3, "usecond": 1e-3, "nsecond": 1e-6, "ms": 1, "msecond": 1}[r["Metric Unit"]]
        total[r["Kernel Name"]] += float(r["Metric Value"].replace(",", "")) * unit
        count[r["Kernel Name"]] += 1
for name, ms in total.most_common(25):
    print(json.dumps({"kernel": name[:90], "ms": round(ms, 3), "calls": count[name]}))
print(json.dumps({"kernel": "all", "ms": round(sum(total.values()), 3), "calls": sum(count.values())}))
PY
}

lengths() { # speed against the length of sequences, 16,384 tokens a step
    model
    for n in 256 512 1024 2048 4096 8192 16384; do
        rows $((16384 / n * 8)) "$n" 0 >"$work/rows"
        train "length $n, bf16" "$work/model" "$work/rows" 8 $((16384 / n)) 16384 0
    done
}

# A row of compute-sanitizer's findings in our kernels and in cuBLASLt's (nvjet, cutlass, split-K sums: its barriers are none to racecheck).
sanitized() { # sanitized TOOL NAME SECONDS PROGRAM ...
    local tool=$1 name=$2 rc=0 ours theirs
    timeout -k 5 "$3" compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 100000 "${@:4}" >"$work/out" 2>&1 || rc=$?
    tail -2 "$work/out" >&2
    sed -nE 's/^=========.* at (.*)\+0x[0-9a-f]+.*/\1/p' "$work/out" | sort -u >"$work/kernels"
    theirs=$(grep -cE '^(void )?(nvjet|cutlass|cublas|gemmk1|splitK|sm[0-9]*_xmma)' "$work/kernels")
    ours=$(($(wc -l <"$work/kernels") - theirs))
    grep -q 'SUMMARY: ' "$work/out" && { [ "$rc" = 0 ] || [ "$rc" = 9 ]; } && [ "$ours" = 0 ] && { [ "$rc" = 0 ] || [ "$theirs" -gt 0 ]; } || failed=1
    printf '{"%s":"%s","exit":%d,"our_kernels":%d,"library_kernels":%d,"card":"%s"}\n' "$tool" "$name" "$rc" "$ours" "$theirs" "$card"
}

# initcheck takes what bulk copies store for never written, so all that reads a product is reported: it runs where none is read.
sanitize() {
    rows 40 40 4 49152 >"$work/short"
    for tool in memcheck racecheck; do
        for name in ops linear adapted thin weight attention distill; do sanitized "$tool" "$name" 200 "$build/tests/kernels/test_$name"; done
        sanitized "$tool" "five steps" 200 "$tools/lora-train" --model "${CARD_MODEL:-$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf}" --device "$COADOR_DEVICE" --rank 16 \
            --targets all-linear --dropout 0.1 --batch 4 --accumulation 1 --max-steps 5 --tokens-per-pass 512 --loss all --overwrite --quiet -o "$work/adapter" "$work/short"
    done
    for name in ops attention; do sanitized initcheck "$name" 200 "$build/tests/kernels/test_$name"; done
}

for part in $parts; do
    case $part in
    ops) tests kernels ops linear adapted thin weight attention choose distill ;;
    parity) tests model card answers pace ;;
    products | speed | small | fp8 | memory | lengths | answers | profile | sanitize) "$part" ;;
    *) echo "cuda.sh: no part $part" >&2; exit 2 ;;
    esac
done
exit $failed
