# Part of bench.sh: a random model of Llama-3.2-1B's shape (2.5 GB of bf16, 5 GB of f32) through `quantize --to nf4
# --double-quant`, and bitsandbytes on the CPU over the same tensors of the same file, written the same. Both read from the page
# cache; seconds are of the whole program for ours, of reading, quantising and writing (without imports) for the peer.
# QUANTIZE_LAYERS=N, QUANTIZE_VOCAB=N: instead of 16 and 128256. QUANTIZE_DIR: a folder with room for 10 GB.
# Floor: reading the model and writing what comes out (cat).

quantize_config() { # quantize_config TYPE
    cat <<JSON
{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":2048,"intermediate_size":8192,"num_hidden_layers":${QUANTIZE_LAYERS:-16},
 "num_attention_heads":32,"num_key_value_heads":8,"head_dim":64,"vocab_size":${QUANTIZE_VOCAB:-128256},"tie_word_embeddings":true,"rms_norm_eps":1e-05,
 "rope_theta":500000.0,"max_position_embeddings":131072,"hidden_act":"silu","bos_token_id":1,"eos_token_id":2,
 "initializer_range":0.02,"torch_dtype":"$1"}
JSON
}

floor_of_copy() { # floor_of_copy IN OUT: a JSON line as timed.py's
    python3 "$here/timed.py" 3 sh -c 'cat "$1" >/dev/null; cat "$2" >"$2.copy"' sh "$1" "$2"
    rm -f "$2.copy"
}

quantizing() { # quantizing TYPE WORD: rows of wall time, processor time and memory
    local type=$1 word=$2 ours theirs
    quantize_config "$word" >"$room/config.json"
    quietly "$tools/tensors" random --directory --dtype "$type" --tokenizer "$here/../data/tokenizer/llama-bpe.json" -o "$room/model" "$room/config.json"
    for ((i = 0; i < ${ROUNDS:-3}; i++)); do
        python3 "$here/timed.py" 1 "$tools/quantize" --to nf4 --double-quant --quiet -o "$room/nf4" "$room/model" >>"$room/ours"
        quietly "$python" "$here/quantize_peer.py" "$room/model/model.safetensors" "$room/bnb.safetensors" >>"$room/theirs"
    done
    floor=$(floor_of_copy "$room/model/model.safetensors" "$room/nf4/model.safetensors")
    for key in wall cpu; do
        ours=$(jq ".$key" "$room/ours" | median) theirs=$(jq "if \"$key\" == \"wall\" then .s else .cpu_s end" "$room/theirs" | median)
        row "quantize $type to NF4, ${QUANTIZE_LAYERS:-16} layers of 1B, $key" s "$ours" "$(jq ".$key" "$room/ours" | sort -g | head -1)" "bitsandbytes" "$theirs" - 0 "$(jq ".${key}_best" <<<"$floor")"
    done
    row "quantize $type to NF4, peak memory" MiB "$(jq .peak_mib "$room/ours" | best)" - "bitsandbytes" "$(jq .peak_mib "$room/theirs" | best)" - 0
    rm -rf "$room"/*
}

room=$(mktemp -d "${QUANTIZE_DIR:-$work}/quantize-XXXXXX")
trap 'rm -rf "$work" "$room"' EXIT
for type in ${QUANTIZE_TYPES:-bf16 f32}; do quantizing "$type" "$([ "$type" = bf16 ] && echo bfloat16 || echo float32)"; done
rm -rf "$room"
