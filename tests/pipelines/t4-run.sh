# A pipeline's stages: order, -j, what runs again and why, provenance, variables, replacement, drawing.
. "$SRC/tests/lib.sh" || exit 1
unset MAKEFLAGS MAKELEVEL
mkdir -p pipelines/p/data && cd pipelines/p
printf 'b\na\nc\n' >data/in.csv
echo 'prompt' >prompt.txt
echo 'far' >"$T/far.txt"
cat >dvc.yaml <<'EOY'
vars:
  - greeting: hello
    rate: 4e-4
    train: {seed: 7, bits: [int8, nf4]}
stages:
  report:
    desc: reads what both trainings made
    cmd: cat out/int8/log out/nf4/log > report.txt
    deps: [out]
    outs: [report.txt]
  train:
    foreach: ${train.bits}
    do:
      cmd:
        - mkdir out/${item}
        - cat sorted.txt prompt.txt > out/${item}/log
        - echo "${item} ${train.seed} ${rate}" >> out/${item}/log
      deps: [sorted.txt, prompt.txt]
      outs: ["out/${item}"]
  sort:
    cmd: sort data/in.csv > sorted.txt && cat ../../far.txt >> sorted.txt; echo ${greeting}
    deps: [data/in.csv, ../../far.txt]
    outs: [sorted.txt]
EOY
cd "$T"
run() { "$coador" pipeline rules pipelines/p "$@" >rules.mk && make -s -j2 -f rules.mk >run.out 2>run.err; }
ran() { sed -n 's/^pipeline: \(.*\): running.*/\1/p' run.err | sort | tr '\n' ' '; }
why() { sed -n "s/^pipeline: $1: running, because //p" run.err; }

ok 'all stages run under -j2' run
is 'what they printed came out' "$(cat run.out)" hello
is 'each once' "$(ran)" 'report sort train@int8 train@nf4 '
is 'sort first' "$(sed -n 's/^pipeline: \(.*\): running.*/\1/p;' run.err | head -1)" sort
is 'report last' "$(sed -n 's/^pipeline: \(.*\): running.*/\1/p;' run.err | tail -1)" report
is 'the outs hold what the stages wrote' "$(tr '\n' ' ' <pipelines/p/report.txt)" \
    'a b c far prompt int8 7 0.0004 a b c far prompt nf4 7 0.0004 '
is 'nothing is left beside the folder' "$(ls -A pipelines)" p
ok 'a line at the end says time and memory' grep -Eq '^pipeline: report: done in [0-9.]+ s, largest process [0-9.]+ [MG]iB$' run.err
ok 'the provenance is JSON with hashes, variables and the seed' python3 -c '
import json, hashlib
p = json.load(open("pipelines/p/.coador/train@nf4.json"))
assert p["stage"] == "train@nf4" and p["seed"] == "7" and p["vars"]["rate"] == "0.0004", p
dep = {d["name"]: d for d in p["deps"]}["prompt.txt"]
data = open("pipelines/p/prompt.txt", "rb").read()
assert dep["sha256"] == hashlib.sha256(data).hexdigest() and dep["bytes"] == len(data)
assert p["wall_s"] >= 0 and p["peak_rss_bytes"] > 1 << 20
assert "greeting" not in p["vars"]'
is 'status: all up to date' "$("$coador" pipeline status pipelines/p | grep -c 'up to date')" 4
ok 'and exits 0' "$coador" pipeline status pipelines/p

ok 'a second run' run
is 'does nothing' "$(ran)" ''
touch pipelines/p/prompt.txt
run; is 'nor after a touch' "$(ran)" ''
echo 'other prompt' >pipelines/p/prompt.txt
"$coador" pipeline status pipelines/p >status.txt
is 'status exits 1 when something would run' $? 1
is 'and says why' "$(cat status.txt)" 'sort: up to date
train@int8: would run, because dependency prompt.txt changed
train@nf4: would run, because dependency prompt.txt changed
report: would run, because stage train@int8, which makes a dependency, runs'
run; is 'a changed template reruns what depends on it' "$(ran)" 'report train@int8 train@nf4 '
is 'with the reason' "$(why train@nf4)" 'dependency prompt.txt changed'
printf 'c\nb\na\n' >pipelines/p/data/in.csv
run; is 'a rerun that makes the same bytes ends there' "$(ran)" 'sort '
echo edited >>pipelines/p/out/nf4/log
run; is 'an out edited by hand is made again' "$(ran)" 'train@nf4 '
is 'with the reason' "$(why train@nf4)" 'out out/nf4 changed'
ok 'and the edit is gone' sh -c '! grep -q edited pipelines/p/out/nf4/log'
rm pipelines/p/report.txt
run; is 'a missing out' "$(why report)" 'out report.txt is missing'
rm pipelines/p/.coador/sort.json
run; is 'an out without provenance counts as absent' "$(ran)" 'sort '

run --set train.seed=8 --set 'train.bits[1]=fp4'
is '--set reaches nested names and list elements' "$(ran)" 'report train@fp4 train@int8 ' # fp4 is a new stage; report fails below
run; is 'and back' "$(ran)" 'report train@int8 '
run --set 'train.bits=[nf4,int4]'
is '--set replaces a list' "$(ran)" 'report train@int4 '
run; is 'what other lists made stays' "$(ran)" ''
exits 'an unknown variable' 2 'no variable epochs' "$coador" pipeline status pipelines/p --set epochs=1
exits 'a variable that is a map' 2 'train is a map' "$coador" pipeline status pipelines/p --set train=1

cat >swap.yaml <<'EOY'
vars:
  - greeting: goodbye
stages:
  report:
    cmd: echo swapped ${greeting} > report.txt
    deps: [sorted.txt]
    outs: [report.txt]
EOY
run swap.yaml
is 'a second YAML replaces a stage by name' "$(cat pipelines/p/report.txt)" 'swapped goodbye'
is 'and only that stage and users of its variables run' "$(ran)" 'report sort '
run; is 'without it the first is back' "$(head -1 pipelines/p/report.txt)" a

# programs: a changed one reruns the stages that name it
mkdir programs pipelines/q
cp "$("$coador" --exec-path)/pipeline" programs/
printf '#!/bin/sh\necho one\n' >programs/mytool && chmod +x programs/mytool
cat >pipelines/q/dvc.yaml <<'EOY'
vars: [{tool: mytool}]
stages:
  named: {cmd: "coador mytool > named.txt", outs: [named.txt]}
  hidden: {cmd: "t=mytool; coador $t > hidden.txt", outs: [hidden.txt]}
  other: {cmd: "echo coadormytool > other.txt", outs: [other.txt]}
EOY
export COADOR_EXEC_PATH=$PWD/programs
"$coador" pipeline rules pipelines/q >q.mk
ok 'stages find coador on PATH' make -s -f q.mk
is 'and its programs' "$(cat pipelines/q/named.txt pipelines/q/hidden.txt)" 'one
one'
printf '#!/bin/sh\necho two\n' >programs/mytool
make -s -f q.mk 2>run.err
is 'a changed program' "$(ran)" 'hidden named '
is 'is the reason' "$(why named)" 'program mytool changed'
unset COADOR_EXEC_PATH

# two runs at once: one works, the other waits and finds nothing to do
mkdir pipelines/r
cat >pipelines/r/dvc.yaml <<'EOY'
stages:
  once: {cmd: "echo run >> ../../runs; touch ../../started; sleep 0.5; echo x > once.txt", outs: [once.txt]}
EOY
"$coador" pipeline stage pipelines/r once 2>first.err &
for i in $(seq 100); do [ -e started ] && break; sleep 0.02; done
ok 'a second runner of a stage' "$coador" pipeline stage pipelines/r once
is 'waits for the first' "$(sed -n 's/^pipeline: once: //p' .err | tr '\n' ',')" 'waiting for another run of this stage,up to date,'
wait
is 'so the commands ran once' "$(grep -c run runs)" 1

"$coador" pipeline --dot pipelines/p >dot.txt
ok 'drawing: a stage is a box' grep -q '"stage sort" \[shape=box, label="sort"\];' dot.txt
ok 'with an arrow from its dependency' grep -q '"data/in.csv" -> "stage sort";' dot.txt
if command -v dot >/dev/null; then ok 'Graphviz reads it' dot -Tsvg -o dot.svg dot.txt; else skip 'Graphviz reads it' 'dot is not installed'; fi
done_testing
