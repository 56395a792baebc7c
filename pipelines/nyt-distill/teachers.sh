#!/bin/sh
# Runs distill-label with the teachers of these seeds: teachers.sh http|local MODEL "SEED..." coador distill-label OPTION... RECORDS
# http: behind a server on loopback (serve.py) that lives as long as distill-label does; local: in distill-label's own process.
# A served teacher is known to the cache by what its adapter holds: the port changes, and a teacher trained anew is another.
set -eu
how=$1 model=$2 seeds=$3
shift 3
for seed in $seeds; do
    case $how in
    http) set -- "$@" --teacher "openai:$seed,id=$(cat "teachers/$seed/coador.json" "teachers/$seed/adapter_model.safetensors" | sha256sum | cut -c 1-32)" ;;
    local) set -- "$@" --teacher "local:$model,adapter=teachers/$seed" ;;
    *) echo "teachers.sh: $how: expected http or local" >&2; exit 2 ;;
    esac
done
case $how in
http) exec python3 serve.py "$model" teachers "$@" --concurrency 24 ;;
local) exec "$@" ;;
esac
