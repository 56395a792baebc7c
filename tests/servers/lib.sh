# For shell tests that need a teacher on loopback: sourced after tests/lib.sh.
command -v python3 >/dev/null || skip_all "no python3"
unset OPENAI_BASE_URL OPENAI_API_KEY http_proxy HTTP_PROXY ALL_PROXY all_proxy
_servers=
serve() { # serve NAME OPTION...: starts teacher.py; its base URL is in $URL, its process in $PID
    _p=$T/$1.port; shift; rm -f "$_p"
    python3 "$SRC/tests/servers/teacher.py" --port-file "$_p" "$@" 2>"$_p.err" & PID=$!
    _servers="$_servers $PID"
    for _i in $(seq 200); do [ -s "$_p" ] && break; sleep 0.05; done
    [ -s "$_p" ] || { echo "Bail out! no server: $(head -1 "$_p.err")"; exit 1; }
    PORT=$(cat "$_p") URL=http://127.0.0.1:$PORT/v1
}
trap 'cd /; [ -z "$_servers" ] || kill $_servers 2>/dev/null; rm -rf "$T"' EXIT
cat >schema.json <<'J'
{"type":"object","properties":{"p":{"enum":["Positivo","Negativo","Neutro"]}},"required":["p"],"additionalProperties":false}
J
rows() { # rows N: records whose right label the server's label_of knows
    python3 -c "
import json, sys
for i in range(int(sys.argv[1])): print(json.dumps({'id': f'r{i}', 'prompt': f'Texto: id=r{i} bom dia\nResultado:'}))" "$1"
}
label() { "$coador" distill-label --schema schema.json "$@"; }
