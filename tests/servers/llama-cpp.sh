# A real server: llama-cpp-python's, with SmolLM2 on loopback, labels ROWS news rows for distill-label, 16 at once. Not part of make
# check: `make check-server [ROWS=500]` installs the server (once, from PyPI, into SERVER_ENV outside the tree) and runs this.
. "$SRC/tests/lib.sh" || exit 1
server='llama-cpp-python[server]==0.3.36' # compiled on this machine where PyPI has no wheel for it
venv=${SERVER_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/coador/llama-cpp-python-0.3.36}
rows=${ROWS:-500}
unset OPENAI_BASE_URL OPENAI_API_KEY http_proxy HTTP_PROXY ALL_PROXY all_proxy
if ! "$venv/bin/python" -c 'import llama_cpp.server.app' 2>/dev/null; then
    echo "# installing $server into $venv"
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check "$server"; } >install.log 2>&1 ||
        { sed 's/^/# /' install.log; echo "Bail out! the server could not be installed (python3-venv, cmake and a C++ compiler are needed)"; exit 1; }
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$venv/bin/python" -m llama_cpp.server --model "$FETCHED/SmolLM2-135M-Instruct.Q4_1.gguf" --model_alias smollm2 --host 127.0.0.1 --port "$port" \
    --n_ctx 2048 --interrupt_requests False --verbose False >server.log 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; cd /; rm -rf "$T"' EXIT
up() { python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/v1/models', timeout=5)" 2>/dev/null; }
for i in $(seq 120); do up && break; kill -0 $pid 2>/dev/null || break; sleep 1; done
up || { sed 's/^/# /' server.log | tail -20; echo 'Bail out! the server does not answer'; exit 1; }

p=$SRC/pipelines/nyt
sh "$p/rows.sh" "$FETCHED/nytEditorialSnippets_GroundTruth.txt" >rows.csv 2>rows.err
"$coador" csv2prompt --prompt "$SRC/pipelines/nyt-distill/zero.txt" --truth "$p/answer.txt" --limit "$rows" -o rows.jsonl rows.csv
label() {
    "$coador" distill-label --teacher openai:smollm2 --base-url "http://127.0.0.1:$port" --response-format json_object --schema "$p/schema.json" \
        --max-tokens 64 --concurrency 16 --timeout 900 --cache cache.jsonl --summary summary.json "$@" rows.jsonl
}
start=$(date +%s)
ok "labels $rows rows, 16 at once" label --max-rejects 0 -o out.jsonl
echo "# $(($(date +%s) - start)) s; $(jq -c '{labelled, asked, prompt_tokens, completion_tokens, faults}' summary.json)"
is 'each id once, in order' "$(jq -r .id out.jsonl | cksum)" "$(jq -r .id rows.jsonl | cksum)"
different=$(jq -c .prompt rows.jsonl | sort -u | wc -l) # two rows of the data are alike: asked once
is 'each row labelled' "$(jq -r '[.records, .labelled, .failed, .asked] | join(" ")' summary.json)" "$rows $rows 0 $different"
ok 'each answer is JSON that fits the schema' "$coador" parse-json --schema "$p/schema.json" --field completion --strict --max-rejects 0 -o valid.jsonl out.jsonl
is 'the server counted its tokens' "$(jq -c '.answers_without_tokens' summary.json)" 0
ok 'a second run' label -o again.jsonl
is 'asks nothing' "$(jq -c '[.asked, .cached]' summary.json)" "[0,$rows]"
ok 'and has the same rows' cmp out.jsonl again.jsonl
# It answers 500 to a form that it does not know, json_schema, where others answer 400: the run's end, and no other form is tried.
exits 'a form that it does not know ends the run' 4 'refuses --response-format json_schema: status 500: .*response_format.*--response-format json_object$' \
    "$coador" distill-label --teacher openai:smollm2 --base-url "http://127.0.0.1:$port" --schema "$p/schema.json" --max-tokens 64 rows.jsonl
done_testing
