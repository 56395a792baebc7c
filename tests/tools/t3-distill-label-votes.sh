# distill-label's votes: winners, ties, shares, kept reasoning, kappa and alpha equal a table worked out by hand, whatever the
# order in which the answers arrive.
. "$SRC/tests/lib.sh"
. "$SRC/tests/servers/lib.sh"
cat >two.json <<'J'
{"type":"object","properties":{"p":{"enum":["Positivo","Negativo","Neutro"]},"e":{"enum":["Sim","Nao"]}},"required":["p","e"],"additionalProperties":false}
J
# Answers of teachers a and b, samples 0..2, as p,e; x: no JSON.
#        a0       a1       a2       b0       b1       b2          p            e            kept
# v1     P,S      P,S      N,S      P,n      P,S      0,S         P 4/6        S 5/6        a0
# v2     N,S      P,S      N,S      P,S      P,S      N,S         N 3/6 (tie with P: a0 says N)  S 6/6   a0
# v3     x        x        0,S      x        0,n      P,n         0 2/6        n 2/6        b1
# v4     P,S      P,S      N,n      0,n      x        N,n         P 2/6 (tie with N)  n 3/6  nobody says P,n: a0 in one field
# Each teacher's own vote (a,b): p (P,P) (N,P) (0,0) (P,0: tie of 0 and N); e (S,S) (S,S) (S,n) (S,n).
# alpha of p: n 8, labels P 4 N 1 0 3, off-diagonal 4: 1 - 7*4/(64-26) = 0.263158; of e: S 6 n 2: 1 - 7*4/(64-40) = -0.166667
# kappa of p: (4/8 - 6/16) / (1 - 6/16) = 0.2; of e: agreement 1/2, by chance 8/16: 0
cat >script.py <<'P'
import json, random, sys
table = {"v1": "P,S P,S N,S P,n P,S 0,S", "v2": "N,S P,S N,S P,S P,S N,S", "v3": "x x 0,S x 0,n P,n", "v4": "P,S P,S N,n 0,n x N,n"}
names = {"P": "Positivo", "N": "Negativo", "0": "Neutro", "S": "Sim", "n": "Nao"}
rng = random.Random(int(sys.argv[1]))
for name, cells in table.items():
    for i, cell in enumerate(cells.split()):
        text = "no idea"
        if cell != "x":
            p, e = cell.split(",")
            text = json.dumps({"r": f"{'ab'[i // 3]}{i % 3}", "p": names[p], "e": names[e]})
        print(json.dumps({"id": name, "model": "ab"[i // 3], "seed": i % 3, "text": text, "delay": rng.random() * 0.3}))
P
for i in 1 2 3 4; do echo "{\"id\":\"v$i\",\"prompt\":\"id=v$i\"}"; done >rows.jsonl
vote() { "$coador" distill-label --teacher openai:a,id=t --teacher openai:b,id=t --samples 3 --base-url "$URL" --schema two.json --reasoning-key r "$@"; }
for k in 1 2; do
    python3 script.py $k >script$k.jsonl
    serve votes$k --script script$k.jsonl
    vote -c $((k * 6)) --cache cache$k.jsonl --summary summary$k.json -o out$k.jsonl rows.jsonl 2>err$k
done
ok "the same bytes for another order of arrival" cmp out1.jsonl out2.jsonl
ok "the answers did arrive in another order" sh -c '! cmp -s cache1.jsonl cache2.jsonl'
is "labels" "$(jq -r 'if .error then "-" else .parsed.p + "," + .parsed.e end' out1.jsonl | tr '\n' ' ')" 'Positivo,Sim Negativo,Sim Neutro,Nao - '
is "shares" "$(jq -c '[.confidence.p*6,.confidence.e*6]|map(round)' out1.jsonl | tr '\n' ' ')" '[4,5] [3,6] [2,2] [2,3] '
is "reasoning of the first that agrees" "$(jq -c '.reasoning' out1.jsonl | tr '\n' ' ')" '"a0" "a0" "b1" null '
is "nobody agrees: an error" "$(jq -r 'select(.error).error' out1.jsonl)" 'no answer agrees with the vote in all fields: the nearest in 1 of 2'
is "alpha and kappa" "$(jq -c '.agreement|map([.field,(.alpha*1e6|round),.kappa[0].rows,(.kappa[0].kappa*1e6|round)])' summary1.json)" '[["p",263158,4,200000],["e",-166667,4,0]]'
ok "said to people too" grep -q 'agreement in p: alpha 0.263, kappa of teachers 1 and 2 0.200' err1
vote --cache cache1.jsonl --agree most -o most.jsonl rows.jsonl 2>err
is "--agree most: the labels of the vote, the nearest reasoning" "$(sed -n 4p most.jsonl | jq -c '[.parsed,.reasoning]')" '[{"p":"Positivo","e":"Nao"},"a0"]'
ok "which is counted" grep -q '1 with reasoning that disagrees' err
vote --cache cache1.jsonl --min-confidence 0.5 -o sure.jsonl rows.jsonl 2>err
is "--min-confidence" "$(jq -r .error sure.jsonl | sed -n '2p;3p' | tr '\n' '|')" 'null|confidence 0.333 in p, below 0.5|'
is "counts" "$(jq -c '[.records,.labelled,.failed,.asked,.faults.unfit]' summary1.json)" '[4,3,1,24,4]'
is "the other order of teachers breaks ties otherwise" "$("$coador" distill-label --teacher openai:b,id=t --teacher openai:a,id=t --samples 3 --base-url "$URL" --schema two.json --reasoning-key r --cache cache1.jsonl rows.jsonl 2>err | sed -n 2p | jq -c '[.parsed.p,.reasoning]')" '["Positivo","b0"]'
done_testing
