# TAP for shell tests. A test sources this first, calls ok/is/fails/…, and ends with `done_testing`.
# The scratch folder $T is the working folder and goes at the end; $coador is the front end of this build.
# Environment (set by make check): COADOR (front end), SRC (source root), FETCHED (model and data).
set -u
: "${SRC:?run through make check}" "${COADOR:?run through make check}"
T=$(mktemp -d) && cd "$T" || exit 1
trap 'cd /; rm -rf "$T"' EXIT
coador=$COADOR
_n=0 _bad=0
ok() { # ok NAME COMMAND...: passes when the command succeeds
    _name=$1; shift; _n=$((_n + 1))
    if "$@" >"$T/.out" 2>"$T/.err"; then echo "ok $_n - $_name"; else
        _bad=1; echo "not ok $_n - $_name"; sed 's/^/# /' "$T/.err" | head -20; sed 's/^/# out: /' "$T/.out" | head -20
    fi
}
is() { # is NAME GOT EXPECTED
    _n=$((_n + 1))
    if [ "$2" = "$3" ]; then echo "ok $_n - $1"; else
        _bad=1; echo "not ok $_n - $1"; echo "# got:      $2" | head -20; echo "# expected: $3" | head -20
    fi
}
exits() { # exits NAME CODE STDERR_PATTERN COMMAND...: exact exit status, stderr matches the ERE; a crash never passes
    _name=$1 _code=$2 _pat=$3; shift 3; _n=$((_n + 1))
    "$@" >"$T/.out" 2>"$T/.err"; _rc=$?
    if [ $_rc -eq "$_code" ] && { [ -z "$_pat" ] || grep -Eq -- "$_pat" "$T/.err"; }; then echo "ok $_n - $_name"; else
        _bad=1; echo "not ok $_n - $_name"; echo "# exit $_rc, expected $_code; stderr wanted: $_pat"; sed 's/^/# err: /' "$T/.err" | head -20
    fi
}
skip() { _n=$((_n + 1)); echo "ok $_n - $1 # SKIP $2"; }
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
done_testing() { echo "1..$_n"; exit $_bad; }
