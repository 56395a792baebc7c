#!/bin/sh
# make deps: finds what the build, the tests and the demo need, and installs what is missing from Debian's packages.
set -eu
# what shows that it is there : Debian package
libs="yaml-0.1:libyaml-dev libzstd:libzstd-dev libpcre2-8:libpcre2-dev libcrypto:libssl-dev libcurl:libcurl4-openssl-dev cmocka:libcmocka-dev"
programs="pkg-config:pkg-config prove:perl python3:python3 mandoc:mandoc jq:jq zstd:zstd iconv:libc-bin awk:mawk strace:strace"
missing=""
command -v ${CC:-cc} >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
for p in $programs; do command -v "${p%%:*}" >/dev/null 2>&1 || missing="$missing ${p#*:}"; done
for l in $libs; do
    { command -v pkg-config && pkg-config --exists "${l%%:*}"; } >/dev/null 2>&1 || missing="$missing ${l#*:}"
done
python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "make deps: this is not a Debian system; install by hand what these Debian packages hold, then run make again:" >&2
    echo " $missing" >&2
    exit 1
fi
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
echo "make deps: installing Debian packages with '${sudo:+sudo }apt-get install':$missing"
$sudo apt-get update -q
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends $missing
