# The EXAMPLES of pages that need no model run as they stand, each page in a folder of its own.
. "$SRC/tests/lib.sh" || exit 1
unset MAKEFLAGS MAKELEVEL
command -v mandoc >/dev/null || skip_all 'mandoc is not installed'
export PATH="$(dirname "$coador"):$PATH"
for page in coador coador-csv2prompt coador-pipeline; do
    mkdir "$page"
    # literal blocks are indented by 11 columns, text by 5
    mandoc -Tascii -Owidth=500 "$SRC/man/$page.1" | col -bx |
        sed -n '/^EXAMPLES/,/^[A-DF-Z]/s/^           \(\$ \)\{0,1\}//p' >"$page/examples"
    is "$page has examples" "$(test -s "$page/examples"; echo $?)" 0
    ok "$page: they run" sh -c 'cd "$0" && bash -eo pipefail ./examples' "$page"
done
done_testing
