#!/bin/sh
# Runs distill-label with one teacher: rotula.sh TEACHER BASE_URL FORMAT coador distill-label OPTION... RECORDS
# A local teacher was tuned on the records' own prompt; a server's model is told in pergunta.txt what to do.
set -eu
teacher=$1 url=$2 format=$3
shift 3
case $teacher in
local:*) exec "$@" --teacher "$teacher" ;;
*) exec "$@" --teacher "$teacher" --base-url "$url" --response-format "$format" --prompt pergunta.txt ;;
esac
