# Stages that fail, forget, or are killed: nothing half is left, persist outs stay.
. "$SRC/tests/lib.sh" || exit 1
unset MAKEFLAGS MAKELEVEL
mkdir -p pipelines/p && cd pipelines/p
echo input >in.txt
echo secret >undeclared.txt
cat >dvc.yaml <<'EOY'
vars:
  - mode: fail
stages:
  midpipe:
    cmd: cat in.txt | sh -c 'cat; echo "filter broke" >&2; exit 3' | cat > mid.txt
    deps: [in.txt]
    outs: [mid.txt]
  after:
    cmd: cp mid.txt after.txt
    deps: [mid.txt]
    outs: [after.txt]
  forgot:
    cmd: cat undeclared.txt > forgot.txt
    outs: [forgot.txt]
  nothing:
    cmd: "true"
    outs: [nothing.txt]
  link:
    cmd: ln -s in.txt link.txt
    deps: [in.txt]
    outs: [link.txt]
  meddler:
    cmd: echo more >> in.txt; echo x > meddler.txt
    deps: [in.txt]
    outs: [meddler.txt]
  keeper:
    cmd: mkdir -p ckpt; echo step >> ckpt/steps; echo done > keeper.txt; test ${mode} != fail
    outs:
      - keeper.txt
      - ckpt: {cache: false, persist: true}
  file_keeper:
    cmd: cat cache.jsonl > seen.txt 2>/dev/null || touch seen.txt; echo row >> cache.jsonl; test ${mode} != fail
    outs:
      - seen.txt
      - cache.jsonl: {persist: true}
  stray:
    cmd: sleep 300.25 & echo x > stray.txt
    outs: [stray.txt]
EOY
cd "$T"
P=pipelines/p
stage() { "$coador" pipeline stage $P "$@"; }
absent() { for f; do [ ! -e "$f" ] && [ ! -L "$f" ] || { echo "$f exists" >&2; return 1; }; done; }
clean() { [ "$(ls -A pipelines)" = p ] || { ls -A pipelines >&2; return 1; }; }

exits 'a stage that fails in mid-pipe passes its status on' 3 'stage midpipe failed: exit status 3' stage midpipe
is 'its own message comes as it is written, and again at the end' "$(grep -c 'filter broke' .err)" 2
exits 'again' 3 'it has not run yet' stage midpipe
ok 'it leaves neither out nor provenance' absent $P/mid.txt $P/.coador/midpipe.json
ok 'nor its scratch folder' clean
"$coador" pipeline rules $P >rules.mk
exits 'make fails too' 2 'stage midpipe failed' make -s -f rules.mk stage/after
ok 'and what depends on it does not run' absent $P/after.txt
exits 'a stage alone, whose maker has not run' 3 'stage midpipe must run first' stage after
exits 'a dependency that is not declared is not there' 1 'undeclared.txt: No such file' stage forgot
ok 'no out either' absent $P/forgot.txt
exits 'an out that was not made' 3 'dvc.yaml:17: stage nothing: its commands did not make out nothing.txt' stage nothing
exits 'an out that is a link' 3 'out link.txt is a symbolic link' stage link
exits 'a stage that changes its dependency' 3 'dependency in.txt changed while the stage ran' stage meddler
ok 'leaves no out' absent $P/meddler.txt $P/.coador/meddler.json

echo old >$P/keeper.txt
exits 'a failing stage' 1 'stage keeper failed: exit status 1' stage keeper
ok 'leaves no out, old ones included' absent $P/keeper.txt
is 'but its persist out' "$(cat $P/ckpt/steps)" step
ok 'the next run' stage keeper --set mode=pass
is 'goes on from it' "$(tr '\n' ' ' <$P/ckpt/steps)" 'step step '
exits 'a persist file survives too' 1 'file_keeper failed' stage file_keeper
ok 'and' stage file_keeper --set mode=pass
is 'is seen by the next run' "$(cat $P/seen.txt)" row
ok 'processes in the background end with their stage' sh -c '"$0" pipeline stage pipelines/p stray && ! pgrep -f "^sleep 300.25$"' "$coador"

# kill -9 of the runner while the stage writes
cat >$P/dvc.yaml <<'EOY'
stages:
  slow:
    cmd: echo half > slow.txt; mkdir -p part; echo x >> part/rows; echo $$ > ../../pid; sleep ${seconds}; echo whole > slow.txt
    outs:
      - slow.txt
      - part: {persist: true}
vars: [{seconds: 300}]
EOY
"$coador" pipeline stage $P slow >/dev/null 2>&1 &
runner=$!
for i in $(seq 100); do [ -s pid ] && break; sleep 0.05; done
kill -9 $runner 2>/dev/null
wait $runner 2>/dev/null
gone() { for i in $(seq 100); do kill -0 "$(cat pid)" 2>/dev/null || return 0; sleep 0.05; done; return 1; }
ok 'kill -9 of the runner ends its command' gone
ok 'nothing half stands in the folder' absent $P/slow.txt $P/.coador/slow.json
ok 'the stage runs again' stage slow --set seconds=0
is 'to its end' "$(cat $P/slow.txt)" whole
is 'with the persist out of the killed run' "$(grep -c x $P/part/rows)" 2
ok 'and cleans up' clean

# Ctrl-C
rm -f pid; rm -f $P/.coador/slow.json
"$coador" pipeline stage $P slow >/dev/null 2>&1 &
runner=$!
for i in $(seq 100); do [ -s pid ] && break; sleep 0.05; done
kill -TERM $runner
wait $runner; rc=$?
is 'a signal ends the runner by that signal' $rc 143
ok 'and its command' gone
ok 'and leaves no out' absent $P/slow.txt $P/.coador/slow.json
ok 'nor scratch' clean
done_testing
