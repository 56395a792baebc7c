/* Any bytes through the CSV reader: it reads or refuses; what it reads is rectangular, UTF-8, and without NULs. */
#include "common/io/csv.h"
#include "common/io/json.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct cell *c, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strlen(c[i].p) != c[i].n || utf8_valid(c[i].p, c[i].n) != c[i].n) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct err e = ERR_INIT;
    if (!n) return 0;
    FILE *f = fmemopen((void *)(uintptr_t)data, n, "r");
    if (!f) abort();
    struct csv *c = csv_from(f, "fuzz", data[0] & 1 ? ',' : ';', &e);
    int rc = c ? 1 : -1;
    int64_t line = 0;
    if (c) check(csv_names(c), csv_columns(c));
    while (c && (rc = csv_next(c, &e)) > 0) {
        check(csv_cells(c), csv_columns(c));
        if (csv_line(c) <= line) abort();
        line = csv_line(c);
    }
    if ((rc < 0) != (e.code == RC_INPUT)) abort();
    csv_close(c);
    fclose(f);
    return 0;
}
