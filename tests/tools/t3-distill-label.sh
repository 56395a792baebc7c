# distill-label: what it asks, what it makes of the answers, what it refuses.
. "$SRC/tests/lib.sh"
. "$SRC/tests/servers/lib.sh"
serve plain --log log
rows 5 >rows.jsonl
label --teacher openai:m --base-url "$URL" --reasoning-key raciocinio rows.jsonl >out.jsonl 2>err
is "reasoning first" "$(jq -r .completion out.jsonl | head -1)" '{"raciocinio":"porque r0","p":"Neutro"}'
is "fields" "$(head -1 out.jsonl | jq -c 'del(.prompt)')" '{"id":"r0","usage":{"prompt_tokens":10,"completion_tokens":5},"confidence":{"p":1},"parsed":{"p":"Neutro"},"reasoning":"porque r0","completion":"{\"raciocinio\":\"porque r0\",\"p\":\"Neutro\"}"}'
is "reasoning last, with a lead" "$(label --teacher openai:m --base-url "$URL" --reasoning-key raciocinio --reasoning last --lead ' ' rows.jsonl 2>err | jq -r .completion | head -1)" ' {"p":"Neutro","raciocinio":"porque r0"}'
is "labels only: the same labels" "$(label --teacher openai:m --base-url "$URL" --reasoning-key raciocinio --labels-only rows.jsonl 2>err | jq -c .completion | head -1)" '"{\"p\":\"Neutro\"}"'
ok "lora-train takes the rows as they are" "$coador" lora-train --model "$SRC/tests/data/train/tiny" --show-mask 1 out.jsonl
is "a bare host gets /v1, a variable names the server" "$(OPENAI_BASE_URL=${URL%/v1}/ label --teacher openai:m --reasoning-key raciocinio rows.jsonl 2>err | jq -r .parsed.p | grep -c .)" 5

# what goes out
cat >body.py <<'P'
import http.server, json, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("bodies", "ab") as f: f.write(body + b"\n")
        with open("heads", "a") as f: f.write(f"{self.path} {self.headers['Authorization']} {len(self.headers['Idempotency-Key'])}\n")
        out = json.dumps({"choices": [{"message": {"content": '{"p":"Neutro"}'}, "finish_reason": "stop"}]}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(out))); self.end_headers(); self.wfile.write(out)
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
print(s.server_port, flush=True)
s.serve_forever()
P
python3 body.py >body.port 2>/dev/null & _servers="$_servers $!"
for _i in $(seq 100); do [ -s body.port ] && break; sleep 0.05; done
B=http://127.0.0.1:$(cat body.port)/v1
echo '{"id":1,"prompt":"P","row":{"f1":"Olá \"x\""}}' >one.jsonl
printf 'Frase: {f1}\nJSON: {f1|json}\nPrompt: {prompt}\n' >template.txt
OPENAI_API_KEY=dummy label --teacher openai:m --base-url "$B" --prompt template.txt one.jsonl >o 2>err
is "json_schema by default, the template filled" "$(jq -c '[.model,.messages,.temperature,.max_tokens,.response_format.type,.response_format.json_schema.strict,.response_format.json_schema.schema.required]' bodies)" \
    '["m",[{"role":"user","content":"Frase: Olá \"x\"\nJSON: \"Olá \\\"x\\\"\"\nPrompt: P"}],0,1024,"json_schema",true,["p"]]'
is "path, key and idempotency key" "$(cat heads)" '/v1/chat/completions Bearer dummy 64'
is "tokens that the server does not tell count nothing" "$(jq -c .usage o)" '{"prompt_tokens":0,"completion_tokens":0}'
rm bodies; label --teacher openai:m --base-url "$B" --response-format json_object --reasoning-key r --set top_p=0.5 --set max_tokens=null --set max_completion_tokens=9 --seed 4 one.jsonl >o 2>err
is "json_object with a schema; members set and left out" "$(jq -c '[.response_format.type,.response_format.schema.required,.top_p,has("max_tokens"),.max_completion_tokens,.seed]' bodies)" '["json_object",["r","p"],0.5,false,9,4]'
is "an answer without reasoning fails" "$(jq -r .error o)" 'openai:m: at the top level: missing member "r"'
rm bodies; label --teacher openai:m --base-url "$B" --response-format none one.jsonl >o 2>err
is "none" "$(jq -c 'has("response_format")' bodies)" false
echo '{"id":1,"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}]}' | label --teacher openai:m --base-url "$B" >o 2>err
is "a conversation gains the assistant's turn" "$(jq -c '[(.messages|length),.messages[2],has("completion")]' o)" '[3,{"role":"assistant","content":"{\"p\":\"Neutro\"}"},false]'
{ echo '{"id":1,"prompt":"a","error":"before"}'; echo '{"id":2,"x":1}'; echo '{"id":3,"prompt":"b"}'; } | label --teacher openai:m --base-url "$B" --rejects rej.jsonl >o 2>err
is "failed records go on, one out for one in" "$(jq -c '[.id,.error,.parsed]' o | tr '\n' ' ')" '[1,"before",null] [2,"no prompt: expected a string field prompt, or messages",null] [3,null,{"p":"Neutro"}] '
is "and to --rejects" "$(jq -c .id rej.jsonl | tr '\n' ' ')" '1 2 '
exits "--max-rejects" 1 '' label --teacher openai:m --base-url "$B" --max-rejects 0 o

n=$(wc -l <bodies); for i in 1 2 3 4 5 6; do echo "{\"id\":$i,\"prompt\":\"the same\"}"; done | label --teacher openai:m --base-url "$B" >o 2>err
is "the same question is asked once" "$(($(wc -l <bodies) - n)) $(jq -r .parsed.p o | grep -c Neutro)" '1 6'
serve slowly --latency 0.2
if command -v script >/dev/null; then
    TERM=xterm script -qec "'$coador' distill-label --schema schema.json --teacher openai:m --base-url $URL --reasoning-key raciocinio -c 1 -o o rows.jsonl" /dev/null </dev/null 2>&1 | tr '\r' '\n' >seen
    ok "progress on a terminal: share, rate, time left, cost" grep -q 'labelling  [1-9][0-9]*% [1-5]/5 records .*/s  ETA .* cost 0' seen
else
    skip "progress on a terminal" "no script(1)"
fi

# refusals and wrong lines
exits "a name that the record lacks" 3 "record 1: template.txt:1:8: .*f1" sh -c 'echo "{\"prompt\":\"x\"}" | "$0" distill-label --teacher openai:m --base-url "$1" --schema schema.json --prompt template.txt' "$coador" "$B"
exits "no teacher" 2 'teacher is missing' label rows.jsonl
exits "no schema" 2 'schema is missing' "$coador" distill-label --teacher openai:m rows.jsonl
exits "another kind of teacher" 2 'expected openai:NAME or local:MODEL' label --teacher gpt rows.jsonl
exits "an unknown part" 2 "unknown part 'prices'" label --teacher openai:m,prices=3 rows.jsonl
exits "another scheme" 2 'another scheme' label --teacher openai:m --base-url ftp://x rows.jsonl
exits "a key on the command line's URL" 2 'user name' label --teacher openai:m --base-url http://u:p@x rows.jsonl
exits "samples at temperature 0" 2 'all the same' label --teacher openai:m --samples 3 --temperature 0 rows.jsonl
exits "a budget without prices" 2 'needs the prices' label --teacher openai:m --cache c --budget 1 rows.jsonl
exits "a key variable that is not set" 2 'NO_SUCH_VARIABLE is not set' label --teacher openai:m --key-env NO_SUCH_VARIABLE rows.jsonl
exits "--set of what is set here" 2 'is set here' label --teacher openai:m --set model='"x"' rows.jsonl
exits "--set that is no JSON" 2 'set top_p=x' label --teacher openai:m --set top_p=x rows.jsonl
exits "a schema that has the key" 3 'have a property p' label --teacher openai:m --reasoning-key p rows.jsonl
exits "nobody there" 4 '127.0.0.1:9/v1.*3 questions' label --teacher openai:m --base-url http://127.0.0.1:9 --retries 1 --backoff 0.01 rows.jsonl
exits "a broken cache" 3 'c.bad:1:' sh -c 'echo "{}" >c.bad; "$0" distill-label --teacher openai:m --schema schema.json --cache c.bad rows.jsonl' "$coador"
serve schema --refuse-format json_schema
exits "a refused response format ends the run, nothing else is tried" 4 'refuses --response-format json_schema: status 400: response_format json_schema is not supported' label --teacher openai:m --base-url "$URL" rows.jsonl
ok "the same server takes json_object" label --teacher openai:m --base-url "$URL" --response-format json_object --reasoning-key raciocinio rows.jsonl
serve own --refuse-format json_schema --refuse-status 500
own() { label --teacher openai:m --base-url "$URL" --reasoning-key raciocinio --backoff 0.01 --cache own.cache "$@" rows.jsonl; }
exits "a 500 that names the format is a refusal, too" 4 'refuses --response-format json_schema: status 500: .*response_format.*; it may take --response-format json_object$' own
exits "also to one question without retries" 4 'refuses --response-format json_schema' sh -c 'head -1 rows.jsonl | "$0" distill-label --schema schema.json --teacher openai:m --base-url "$1" --retries 0' "$coador" "$URL"
own --response-format json_object --samples 1 >o 2>err
is "answers that the cache has are kept when another format is refused" "$? $(own >o 2>err; echo $?) $(own --response-format json_object --summary s.json >o 2>err; jq -c '[.asked,.cached]' s.json)" '0 4 [0,5]'
serve back --down 2
ok "two 500s that name the format and then an answer are none" own -c 1
serve later --down 20
exits "500 to all tries of three questions ends the run" 4 "$PORT/v1.*status 500: the backend.*, 3 questions in a row$" own --response-format none -c 1 --retries 1

# the key
KEY=sk-very-secret-0123456789
serve locked --key $KEY --log log2
printf '%s\n' $KEY >keyfile; chmod 600 keyfile
rows 20 >rows20.jsonl
mkdir k; TEACHER_KEY=$KEY label --teacher openai:m --base-url "$URL" --key-env TEACHER_KEY --reasoning-key raciocinio --cache k/cache --summary k/summary -o k/out rows20.jsonl 2>k/err
is "the key from a variable opens" "$(jq -r .parsed.p k/out | grep -c .)" 20
label --teacher "openai:m,key-file=keyfile" --base-url "$URL" --reasoning-key raciocinio rows20.jsonl >k/out2 2>k/err2
is "and from a file" "$(jq -r .parsed.p k/out2 | grep -c .)" 20
serve other --key other
TEACHER_KEY=$KEY label --teacher openai:m --base-url "$URL" --key-env TEACHER_KEY rows20.jsonl >k/out3 2>k/err3
is "a wrong key ends the run" $? 4
ok "and is not said back" grep -q 'wrong key: Bearer \*\*\*' k/err3
is "the key is nowhere" "$(grep -rlF $KEY k | wc -l)" 0
dir=$("$coador" --exec-path)
serve watched --latency 3
TEACHER_KEY=$KEY "$dir/distill-label" --schema schema.json --teacher openai:m --base-url "$URL" --key-env TEACHER_KEY -o k/o4 rows20.jsonl 2>k/err4 & pid=$!
sleep 0.3; tr '\0' ' ' </proc/$pid/cmdline >cmdline; kill $pid; wait $pid 2>/dev/null
is "nor in the process list" "$(grep -c distill-label cmdline) $(grep -cF $KEY cmdline)" '1 0'

# money
serve paid --log paid.log
money() { label --teacher openai:m,id=paid --base-url "$URL" --reasoning-key raciocinio --price-in 1000 --price-out 2000 --cache money.jsonl -c 4 --summary m.json "$@" rows20.jsonl; }
money --budget 0.1 >m.jsonl 2>err # 10 * 0.001 + 5 * 0.002 = 0.02 an answer
is "the budget ends the run" $? 1
is "after what it pays for" "$(jq -c '[.labelled,.cost]' m.json) $(wc -l <paid.log) $(wc -l <m.jsonl)" '[5,0.1] 5 20'
is "the others say why" "$(jq -r 'select(.error).error' m.jsonl | sort -u)" 'not asked: the budget is spent'
ok "a larger one goes on" money --budget 5 -o m2.jsonl
is "with what was missing" "$(jq -c '[.labelled,.asked,.cached]' m.json) $(wc -l <paid.log)" '[20,15,5] 20'
ok "in the same order" sh -c 'jq -r .id m2.jsonl >a; jq -r .id rows20.jsonl >b; cmp a b'
exits "a server that tells no tokens has no budget" 4 'does not tell the tokens' label --teacher openai:m --base-url "$B" --cache nc --price-in 1 --budget 1 one.jsonl
t0=$(date +%s%N); label --teacher openai:m --base-url "$URL" --reasoning-key raciocinio --rpm 600 rows20.jsonl >o 2>err; t1=$(date +%s%N)
ok "20 requests at 600 a minute take 1.8 s at least" test $(((t1 - t0) / 1000000)) -ge 1800
t0=$(date +%s%N); label --teacher openai:m --base-url "$URL" --reasoning-key raciocinio --tpm 9000 --max-tokens 20 -c 2 rows20.jsonl >o 2>err; t1=$(date +%s%N)
ok "300 tokens at 9000 a minute take 1.8 s at least" test $(((t1 - t0) / 1000000)) -ge 1700

# batch files
is "an export asks nothing" "$(n=$(wc -l <paid.log); label --teacher openai:m,id=b --base-url "$URL" --reasoning-key raciocinio --batch-export b.jsonl rows20.jsonl 2>err; echo $(($(wc -l <paid.log) - n)))" 0
is "and says how much it wrote" "$(cat err)" 'distill-label: 20 requests written, 0 answers are in the cache'
is "requests as OpenAI has them" "$(head -1 b.jsonl | jq -c '[keys,.method,.url,.body.model]')" '[["body","custom_id","method","url"],"POST","/v1/chat/completions","m"]'
python3 - "$SRC/tests/servers" <<'P'
import json, random, sys
sys.path.insert(0, sys.argv[1])
from teacher import completion, label_of
out = []
for i, line in enumerate(open("b.jsonl")):
    r = json.loads(line)
    name = r["body"]["messages"][0]["content"].split("id=")[1].split()[0]
    answer = json.dumps({"raciocinio": "porque " + name, "p": label_of(name)})
    response = {"status_code": 200, "request_id": "x", "body": completion(answer)}
    if i == 3: out.append({"custom_id": r["custom_id"], "response": None, "error": {"code": "batch_expired", "message": "it expired"}})
    elif i == 4: out.append({"custom_id": r["custom_id"], "response": {"status_code": 400, "body": {"error": {"message": "too long"}}}, "error": None})
    elif i == 5: continue
    else: out.append({"custom_id": r["custom_id"], "response": response, "error": None})
    if i == 6: out.append({"custom_id": r["custom_id"], "response": {"status_code": 200, "body": completion('{"raciocinio":"again","p":"Neutro"}')}, "error": None})
first, again = [x for x in out[:5]], out[5:]
rest = out[:]
dup = rest.pop(next(i for i, x in enumerate(rest) if "again" in json.dumps(x)))
random.Random(1).shuffle(rest)
open("r1.jsonl", "w").write("".join(json.dumps(x) + "\n" for x in rest[:9]))
open("r2.jsonl", "w").write("".join(json.dumps(x) + "\n" for x in rest[9:] + [dup]))
P
label --teacher openai:m,id=b --base-url "$URL" --reasoning-key raciocinio --batch-import r1.jsonl --batch-import r2.jsonl --cache bc.jsonl rows20.jsonl >bo.jsonl 2>berr
is "results in any order, errors kept, the first of two stands" "$(jq -c 'select(.error)|[.id,.error]' bo.jsonl | tr '\n' ' ')" '["r3","openai:m,id=b: in the batch: it expired"] ["r4","openai:m,id=b: in the batch: status 400: too long"] ["r5","openai:m,id=b: no answer in the batch"] '
label --teacher openai:m,id=b --base-url "$URL" --reasoning-key raciocinio rows20.jsonl 2>err | jq -c 'del(.error)' >live
is "the others are as if asked" "$(jq -c 'select(.error|not)' bo.jsonl | grep -vcxFf live)" 0
is "counts" "$(grep -c 'batch: 17 answers, 2 errors, 1 repeated' berr) $(label --teacher openai:m,id=b --base-url "$URL" --reasoning-key raciocinio --cache bc.jsonl --summary s.json rows20.jsonl 2>err >o; jq -c '[.asked,.cached,.labelled]' s.json)" '1 [3,17,20]'
exits "a file that is no batch" 3 'rows20.jsonl:1: no custom_id' label --teacher openai:m --batch-import rows20.jsonl rows20.jsonl

# TLS
if command -v openssl >/dev/null && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null; then
    cat key.pem cert.pem >both.pem
    serve tls --tls both.pem
    exits "a certificate of nobody is refused at once" 4 "https://localhost:$PORT.*certificate" label --teacher openai:m --base-url "https://localhost:$PORT" rows.jsonl
    ok "one of --ca is taken" label --teacher openai:m --base-url "https://localhost:$PORT" --ca cert.pem --reasoning-key raciocinio rows.jsonl
    exits "but not for another name" 4 "https://127.0.0.1:$PORT" label --teacher openai:m --base-url "https://127.0.0.1:$PORT" --ca cert.pem rows.jsonl
else
    skip "TLS" "no openssl"
fi
done_testing
