/* Command lines: one option table a tool gives parsing, --help and --version.
   Only tools call this; it prints and exits (2 on a wrong command line). */
#ifndef COADOR_OPT_H
#define COADOR_OPT_H
#include "common/io/err.h"
#include <stdint.h>

enum opt_kind {
    OPT_FLAG,   /* bool *: set to true */
    OPT_STR,    /* const char **: points into argv */
    OPT_LIST,   /* struct opt_list *: every occurrence, in order */
    OPT_INT,    /* int64_t *: decimal, within min..max */
    OPT_REAL,   /* double *: finite, within min..max */
    OPT_CHOICE  /* int *: index into the `|`-separated words of `arg` */
};

struct opt_list {
    const char **v; /* borrowed from argv */
    int n;
};

struct option {
    const char *name; /* "max-new-tokens": long name without dashes */
    char letter;      /* 'o' for -o, or 0 */
    enum opt_kind kind;
    void *to;         /* where the value goes, by kind */
    const char *arg;  /* what help calls the value ("FILE"), NULL for flags; words for OPT_CHOICE: "f32|bf16" */
    const char *help; /* one line */
    double min, max;  /* for OPT_INT and OPT_REAL; both 0: any */
};
#define OPT_END {0, 0, OPT_FLAG, 0, 0, 0, 0, 0}

/* Parses argv against `options` (ended by OPT_END). Accepts --name value, --name=value, -o value, --, and
   operands anywhere; "-" is an operand. Returns the number of operands, which are moved to argv[0..n).
   `name` is the tool ("csv2prompt"); `usage` the SYNOPSIS lines without "usage:", the first starting with
   "coador NAME". --help prints usage and table on stdout, exit 0; --version likewise. */
int opt_parse(int argc, char **argv, const char *name, const char *usage, const struct option *options);
/* Whether an option was given on the command line: by its long name, after opt_parse. */
int opt_given(const char *name);
/* Binary streams are not for the eye: ends the program where `output` (NULL or "-": standard output) is a terminal. */
void opt_refuse_terminal(const char *output);

/* "tool: text" on stderr, then exit with code. */
_Noreturn void die(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void die_err(const struct err *e);
void must(int rc, const struct err *e); /* die_err where rc is negative */
_Noreturn void die_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "tool: warning: text" and "tool: text" on stderr. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#endif
