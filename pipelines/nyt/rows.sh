#!/bin/sh
# The NYT editorial snippets (id, mean rating, text; tab-separated) as a CSV of three consecutive sentences a row:
# article,f1,f2,f3,p1,p2,p3. The last one or two sentences of an article are dropped, and counted on stderr.
# A label follows the paper's thresholds on the sum of twenty ratings: positive above 4, negative below -4, else neutral.
# usage: rows.sh SNIPPETS >rows.csv
set -eu
tr -d '\r' <"$1" | awk -F '\t' '
function quoted(s) { gsub(/"/, "\"\"", s); return "\"" s "\"" }
function label(mean, n) { n = sprintf("%.0f", 20 * mean) + 0; return n > 4 ? "positive" : n < -4 ? "negative" : "neutral" }
function drop() { dropped += n; n = 0 }
BEGIN { print "article,f1,f2,f3,p1,p2,p3" }
NF != 3 { print "rows.sh: line " NR ": expected id, rating and text" > "/dev/stderr"; exit 3 }
{
    split($1, id, "_")
    if (id[1] != article) { drop(); article = id[1]; articles++ }
    n++; text[n] = $3; gsub(/^[ \t]+|[ \t]+$/, "", text[n]); mark[n] = label($2)
    if (n == 3) {
        print article "," quoted(text[1]) "," quoted(text[2]) "," quoted(text[3]) "," mark[1] "," mark[2] "," mark[3]
        rows++; n = 0
    }
}
END { drop(); print rows " rows from " articles " articles; " dropped " sentences left over at the ends of articles" > "/dev/stderr" }'
