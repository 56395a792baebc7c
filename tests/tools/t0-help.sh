# Every program: --help on stdout, its usage lines equal its page's SYNOPSIS, --version, an unknown option, a page that
# lists the exit statuses; and the front end's own help, names and errors.
. "$SRC/tests/lib.sh" || exit 1
dir=$("$coador" --exec-path)
tools=$(ls "$dir" | grep -v '\.so')
fold() { tr -s ' \n\t' '   ' | sed 's/^ //; s/ $//'; }
synopsis() { # of a page, as one line
    mandoc -Tascii -Owidth=1000 "$1" | col -b | sed -n '/^SYNOPSIS/,/^[A-Z]/{/^[A-Z]/!p}' | fold
}
usage() { sed -n '1{s/^usage: //;p;n}; /^$/q; /^[^ ]/q; p' | fold; } # the lines before the table of options

ok 'coador --help' "$coador" --help
"$coador" --help >front.txt
for t in $tools; do
    page=$SRC/man/coador-$t.1
    ok "coador --help lists $t with a line" grep -Eq "^  $t +[a-z]" front.txt
    ok "$t --help" "$coador" "$t" --help
    "$coador" "$t" --help >help.txt 2>help.err
    is "$t --help prints nothing on standard error" "$(cat help.err)" ''
    is "coador help $t is the same" "$("$coador" help "$t")" "$(cat help.txt)"
    is "$t --version" "$("$coador" "$t" --version)" "$("$coador" --version)"
    exits "$t: an unknown option" 2 'unknown option --no-such-option' "$coador" "$t" --no-such-option
    ok "$t has a page" test -f "$page"
    [ -f "$page" ] || continue
    ok "$t: the page lists exit statuses 0, 2 and 4" sh -c 'sed -n "/^.Sh EXIT STATUS/,/^.Sh EXAMPLES/p" "$0" >statuses; for c in 0 2 4; do grep -q "^.It $c" statuses || exit 1; done' "$page"
    if command -v mandoc >/dev/null; then
        is "$t: usage equals SYNOPSIS" "$(usage <help.txt)" "$(synopsis "$page")"
        # "-o, --output FILE": either name will do
        sed -n 's/^  \(-[a-zA-Z], \)\{0,1\}\(--[a-z0-9-]*\).*/\1\2/p' help.txt | tr -d ' ' | grep -vx -e --help -e --version >options
        missing=
        while IFS=, read -r letter name; do
            [ -n "$name" ] || name=$letter letter=--none
            grep -Eq -- "Fl .*$(printf %s "$name" | cut -c2-)( |\$)|Fl $(printf %s "$letter" | cut -c2-)( |\$)" "$page" || missing="$missing $name"
        done <options
        is "$t: the page has every option" "$missing" ''
        ok "$t: the page is sound mdoc" sh -c 'mandoc -Tlint -Werror "$0" >lint 2>&1' "$page"
    else
        skip "$t: usage equals SYNOPSIS" 'mandoc is not installed'
    fi
done
if command -v mandoc >/dev/null; then is 'coador: usage equals SYNOPSIS' "$(usage <front.txt)" "$(synopsis "$SRC/man/coador.1")"; fi
exits 'no tool' 2 'which tool' "$coador"
exits 'an unknown tool' 2 'unknown tool genrate; the nearest name is' "$coador" genrate
exits 'the nearest name' 2 'nearest name is pipeline' "$coador" pipelime
exits 'help of an unknown tool' 2 'unknown tool' "$coador" help genrate
exits 'a path is no tool' 2 'unknown tool' "$coador" ../bin/coador
exits 'an unknown option' 2 'unknown option --nope' "$coador" --nope
mkdir empty other && printf '#!/bin/sh\necho other "$@"\n' >other/mine && chmod +x other/mine
is 'COADOR_EXEC_PATH' "$(COADOR_EXEC_PATH=$PWD/other "$coador" mine -x y)" 'other -x y'
exits 'an empty folder of programs' 4 'no programs in' env COADOR_EXEC_PATH="$PWD/empty" "$coador" x
exits 'a full disk' 4 'No space left' sh -c '"$0" --help >/dev/full' "$coador"
is "a tool's exit status is passed on" "$("$coador" pipeline 2>/dev/null; echo $?)" 2
done_testing
