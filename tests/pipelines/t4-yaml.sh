# Pipeline files that are wrong: the message names file, line and thing; exit 3.
. "$SRC/tests/lib.sh" || exit 1
mkdir p && echo x >p/in.txt
bad() { # bad NAME PATTERN: dvc.yaml on standard input
    cat >p/dvc.yaml
    exits "$1" 3 "$2" "$coador" pipeline status p
}
bad 'unknown field of a stage' 'p/dvc.yaml:4: a: field params is not in the subset .*\(cmd, deps, outs, desc\)' <<'E'
stages:
  a:
    cmd: x
    params: [lr]
E
bad 'wdir' 'dvc.yaml:3: a: field wdir' <<'E'
stages:
  a:
    wdir: sub
    cmd: x
E
bad 'unknown field at the top' 'dvc.yaml:1: top level: field plots' <<'E'
plots: []
stages: {a: {cmd: x}}
E
bad 'unknown field of an out' 'dvc.yaml:5: outs: field remote' <<'E'
stages:
  a:
    cmd: x
    outs:
      - b: {cache: false, remote: r}
E
bad 'no cmd' 'stage a: cmd is missing' <<'E'
stages:
  a: {deps: [in.txt]}
E
bad 'no stages' 'no stages' <<'E'
vars: []
E
bad 'vars as a map' 'dvc.yaml:1: vars: expected a list of maps' <<'E'
vars: {a: 1}
stages: {a: {cmd: x}}
E
bad 'vars from a file' 'dvc.yaml:1: vars: params.yaml: files of variables are not read' <<'E'
vars: [params.yaml]
stages: {a: {cmd: x}}
E
bad 'a variable twice' 'dvc.yaml:1: variable a is already defined' <<'E'
vars: [{a: 1}, {a: 2}]
stages: {a: {cmd: x}}
E
bad 'a missing variable' 'dvc.yaml:4: stage s: cmd: \$\{a.c\}: no such variable' <<'E'
vars: [{a: {b: 1}}]
stages:
  s:
    cmd: echo ${a.c}
E
bad 'a list of lists in text' 'cmd: \$\{a\} has an element that is a list, expected one value' <<'E'
vars: [{a: [[1]]}]
stages: {s: {cmd: "echo x${a}"}}
E
bad 'an index out of range' 'a\[1\]\}: no such variable' <<'E'
vars: [{a: [1]}]
stages: {s: {cmd: "echo ${a[1]}"}}
E
bad 'foreach over one value' 'foreach: expected a list or a map' <<'E'
stages: {s: {foreach: x, do: {cmd: y}}}
E
bad 'foreach without do' 'foreach and do belong together' <<'E'
stages: {s: {foreach: [x]}}
E
bad 'a field beside do' 's: field cmd is not in the subset' <<'E'
stages: {s: {foreach: [x], do: {cmd: y}, cmd: z}}
E
bad 'foreach names one twice' 'x stands twice' <<'E'
stages: {s: {foreach: [x, x], do: {cmd: y}}}
E
bad 'a cycle' 'cycle: (b needs c needs a needs b|a needs b needs c needs a|c needs a needs b needs c)' <<'E'
stages:
  a: {cmd: x, deps: [b.out], outs: [a.out]}
  b: {cmd: x, deps: [c.out], outs: [b.out]}
  c: {cmd: x, deps: [a.out], outs: [c.out]}
E
bad 'a stage that needs its own out' 'cycle: a needs a' <<'E'
stages:
  a: {cmd: x, deps: [d], outs: [d/x]}
E
bad 'an out of two stages' 'dvc.yaml:3: stage b: out o.txt is also an out of stage a \(.*dvc.yaml:2' <<'E'
stages:
  a: {cmd: x, outs: [o.txt]}
  b: {cmd: x, outs: [./o.txt]}
E
bad 'an out inside another' 'out d/x is also an out of stage a' <<'E'
stages:
  a: {cmd: x, outs: [d]}
  b: {cmd: x, outs: [d/x]}
E
bad 'a dependency that nobody makes' 'dvc.yaml:3: stage b: dependency nowhere.txt does not exist and no stage makes it' <<'E'
stages:
  a: {cmd: x, outs: [o.txt]}
  b: {cmd: x, deps: [o.txt, nowhere.txt]}
E
bad 'an out outside the folder' 'out ../o.txt lies outside' <<'E'
stages: {a: {cmd: x, outs: [../o.txt]}}
E
bad 'the folder as an out' "is the pipeline's folder itself" <<'E'
stages: {a: {cmd: x, outs: [./]}}
E
bad 'a stage name for no file' 'stage name a/b' <<'E'
stages: {a/b: {cmd: x}}
E
bad 'a line that goes on in the next' 'a line ends in' <<'E'
stages:
  a:
    cmd: |
      echo a \
        b
E
bad 'not YAML' 'dvc.yaml:1: ' <<'E'
stages: {a: [}
E
touch p/params.yaml
bad 'params.yaml, which DVC would read' 'p/params.yaml: DVC takes variables' <<'E'
stages: {a: {cmd: x}}
E
rm p/params.yaml
exits 'no such folder' 3 'nowhere: no such folder' "$coador" pipeline status nowhere
exits 'no dvc.yaml' 4 'dvc.yaml' "$coador" pipeline status .
exits 'no verb' 2 'expected rules, status, stage' "$coador" pipeline
exits 'an unknown verb' 2 'expected rules, status, stage' "$coador" pipeline run p
exits 'an unknown stage' 2 'p has no stage b' "$coador" pipeline stage p b
exits 'no stage' 2 "stage needs a folder and a stage's name" "$coador" pipeline stage p
done_testing
