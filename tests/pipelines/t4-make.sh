# make run: variables, replacement, dry runs, a prefix for each stage; and make dag.
. "$SRC/tests/lib.sh" || exit 1
unset MAKEFLAGS MAKELEVEL P SET SUBMIT N
mkdir -p "$T/pipelines/p" && cd "$T/pipelines/p" || exit 1
cat >dvc.yaml <<'EOY'
vars: [{word: one, other: x}]
stages:
  first: {cmd: "echo ${word} > first.txt", outs: [first.txt]}
  second: {cmd: "cat first.txt > second.txt; echo ${other} >> second.txt", deps: [first.txt], outs: [second.txt]}
EOY
cat >"$T/my.yaml" <<'EOY'
stages:
  second: {cmd: "sed s/^/my-/ first.txt > second.txt", deps: [first.txt], outs: [second.txt]}
EOY
cd "$T"
mk() { make -s -C "$SRC" -o all BUILD="$BUILD" "$@"; } # -o all: the programs are built already
dir=$T/pipelines/p
exits 'without P' 2 'which pipeline' mk run
ok 'make run N=1' mk run N=1 P="$dir"
is 'says what would run and why' "$(cat .out)" 'first: would run, because it has not run yet
second: would run, because stage first, which makes a dependency, runs'
ok 'make -n run' mk -n run P="$dir"
is 'says the same' "$(grep -c 'would run' .out)" 2
is 'and runs nothing' "$(ls "$dir")" dvc.yaml
ok 'make run -j2' mk -j2 run P="$dir"
is 'makes all' "$(tr '\n' ' ' <"$dir/second.txt")" 'one x '
ok 'SET' mk run P="$dir" SET="word=a=b other=y"
is 'overrides variables' "$(tr '\n' ' ' <"$dir/second.txt")" 'a=b y '
exits 'SET of an unknown variable' 2 'has no variable wrod' mk run P="$dir" SET=wrod=1
ok 'a second YAML' mk run P="$dir $T/my.yaml" SET=word=two
is 'replaces a stage' "$(cat "$dir/second.txt")" my-two
printf '#!/bin/sh\necho "$@" >>%s/submitted\nexec "$@"\n' "$T" >submit.sh
chmod +x submit.sh
ok 'SUBMIT' mk run P="$dir" SUBMIT="$T/submit.sh"
is 'goes before each stage' "$(grep -c 'pipeline stage' submitted)" 2
sed -i 's/cat first.txt/exit 7/' "$dir/dvc.yaml"
exits 'a failing stage fails make' 2 'stage second failed: exit status 7' mk run P="$dir"
ok 'and leaves no out' test ! -e "$dir/second.txt"
mk dag P="$dir" >dag.txt
ok 'make dag draws' grep -q '"first.txt" -> "stage second"' dag.txt
done_testing
