# One folder under both runners: `dvc repro` (SHELL=bash) makes the same bytes as ours. Needs DVC=/path/of/dvc or dvc on PATH.
. "$SRC/tests/lib.sh" || exit 1
unset MAKEFLAGS MAKELEVEL
dvc=${DVC:-$(command -v dvc)}
[ -n "$dvc" ] && [ -x "$dvc" ] || skip_all 'dvc is not installed (DVC=/path/of/dvc)'
export SHELL=/bin/bash DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$T/site" DVC_GLOBAL_CONFIG_DIR="$T/global" PATH="$(dirname "$coador"):$PATH"
mkdir -p pipelines/p/data
printf 'f1,y\num,a\ndois,b\n' >pipelines/p/data/in.csv
echo far >far.txt
cat >pipelines/p/dvc.yaml <<'EOY'
vars:
  - rate: 4e-4
    small: 1e-5
    big: 1e16
    ten: 1.0e1
    half: .5
    whole: +007
    on: True
    yes_stays: yes
    text: "True"
    list: [a, {b: "c d"}]
  - nested: {x: {y: -3}}
    models: {int8: {bits: 8}, nf4: {bits: 4}}
stages:
  text:
    cmd:
      - echo "${rate} ${small} ${big} ${ten} ${half} ${whole} ${on} ${yes_stays} ${text}" > text.txt
      - echo '${list[0]} ${list[1].b} ${ nested.x.y } \${rate}' >> text.txt
    outs: [text.txt]
  lines:
    cmd: |
      echo one > lines.txt
      echo two >> lines.txt

      cat ../../far.txt >> lines.txt
    deps: [../../far.txt]
    outs:
      - lines.txt: {cache: false}
  train:
    foreach: ${models}
    do:
      cmd: mkdir -p out/${key} && echo "${key} ${item.bits}" | cat - data/in.csv > out/${key}/log
      deps: [data/in.csv]
      outs: ["out/${key}"]
  each:
    foreach: [{n: 1}, {n: "${models.nf4.bits}"}]
    do: {cmd: "echo ${item.n} > each${item.n}.txt", outs: ["each${item.n}.txt"]}
  keep:
    cmd: echo row >> keep.txt
    outs: [{keep.txt: {persist: true, cache: false}}]
  sum:
    cmd: coador --version > sum.txt; cat out/int8/log out/nf4/log text.txt lines.txt each1.txt each4.txt >> sum.txt
    deps: [out/int8, out/nf4, text.txt, lines.txt, each1.txt, each4.txt]
    outs: [sum.txt]
EOY
cp -r pipelines theirs
ok 'ours runs' sh -c '"$0" pipeline rules pipelines/p | make -s -f -' "$coador"
mkdir repo && mv theirs repo/pipelines && cp far.txt repo/ && cd repo || exit 1
ok 'dvc init' "$dvc" init --no-scm -q
cd pipelines/p || exit 1
ok 'dvc repro' "$dvc" repro
for f in text.txt lines.txt out/int8/log out/nf4/log each1.txt each4.txt keep.txt sum.txt; do
    is "the same $f" "$(cat "$T/pipelines/p/$f")" "$(cat $f 2>&1)"
done
is 'with the same stages' "$("$coador" pipeline status . | cut -d: -f1 | sort)" "$(sed -n 's/^  \([a-z0-9@]*\):$/\1/p' dvc.lock | sort)"
ok 'ours runs where dvc has run' sh -c '"$0" pipeline rules . | make -s -f -' "$coador"
is 'and takes up the persist out' "$(grep -c row keep.txt)" 2
ok 'dvc then finds its outs as they were' sh -c '"$0" status -q || "$0" status | grep -q keep' "$dvc"
done_testing
