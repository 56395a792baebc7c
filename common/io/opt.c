/* Command lines: see opt.h. */
#include "common/io/opt.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *tool = "coador", *synopsis = "";
static const char *given[64];
static int n_given;

/* One write a line: programs beside each other share the terminal. */
static void say(const char *kind, const char *fmt, va_list ap) {
    char line[2048];
    fflush(stdout);
    int n = snprintf(line, sizeof line, "%s: %s", tool, kind), room = (int)sizeof line - 1 - n;
    int m = vsnprintf(line + n, (size_t)room, fmt, ap);
    n += m < 0 ? 0 : m < room ? m : room - 1;
    line[n++] = '\n';
    fwrite(line, 1, (size_t)n, stderr);
}

#define SAY(kind)                                                                    \
    do {                                                                             \
        va_list ap;                                                                  \
        va_start(ap, fmt);                                                           \
        say(kind, fmt, ap);                                                          \
        va_end(ap);                                                                  \
    } while (0)

void die(int code, const char *fmt, ...) {
    SAY("");
    exit(code);
}

void die_err(const struct err *e) { die(e->code, "%s", e->msg); }

void die_usage(const char *fmt, ...) {
    SAY("");
    fprintf(stderr, "usage: %s\n", synopsis);
    exit(RC_USAGE);
}

void warn(const char *fmt, ...) { SAY("warning: "); }

void note(const char *fmt, ...) { SAY(""); }

static void print_help(const struct option *o) {
    char left[80];
    printf("usage: %s\n\n", synopsis);
    for (; o->name; o++) {
        int n = o->letter ? snprintf(left, sizeof left, "-%c, ", o->letter) : 0;
        snprintf(left + n, sizeof left - (size_t)n, "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        printf(strlen(left) > 30 ? "  %s\n  %30s  %s\n" : "  %-30s%s  %s\n", left, "", o->help);
    }
    printf("  %-30s  %s\n  %-30s  %s\n", "--help", "print this and exit", "--version", "print the version and exit");
    io_close_stdout();
    exit(RC_DONE);
}

static const struct option *find(const struct option *o, const char *name, size_t n) {
    for (; o->name; o++)
        if (strlen(o->name) == n && !memcmp(o->name, name, n)) return o;
    return NULL;
}

static const struct option *find_letter(const struct option *o, char c) {
    for (; o->name; o++)
        if (o->letter == c) return o;
    return NULL;
}

static void check_range(const struct option *o, double x, const char *value) {
    if ((o->min != 0 || o->max != 0) && !(x >= o->min && x <= o->max))
        die_usage("--%s %s: expected a number from %g to %g", o->name, value, o->min, o->max);
}

static void set_int(const struct option *o, const char *value) {
    char *end;
    errno = 0;
    long long x = strtoll(value, &end, 10);
    if (end == value || *end || errno) die_usage("--%s %s: expected a whole number", o->name, value);
    check_range(o, (double)x, value);
    *(int64_t *)o->to = x;
}

static void set_real(const struct option *o, const char *value) {
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end || !isfinite(x)) die_usage("--%s %s: expected a finite number", o->name, value);
    check_range(o, x, value);
    *(double *)o->to = x;
}

static void set_choice(const struct option *o, const char *value) {
    size_t n = strlen(value);
    const char *w = o->arg;
    for (int i = 0; w; i++) {
        const char *bar = strchr(w, '|');
        size_t len = bar ? (size_t)(bar - w) : strlen(w);
        if (len == n && !memcmp(w, value, n)) {
            *(int *)o->to = i;
            return;
        }
        w = bar ? bar + 1 : NULL;
    }
    die_usage("--%s %s: expected one of %s", o->name, value, o->arg);
}

static void set_list(const struct option *o, const char *value) {
    struct opt_list *l = o->to;
    l->v = xrealloc(l->v, (size_t)l->n + 1, sizeof *l->v);
    l->v[l->n++] = value;
}

static void set(const struct option *o, const char *value) {
    if (n_given < (int)(sizeof given / sizeof *given)) given[n_given++] = o->name;
    switch (o->kind) {
    case OPT_FLAG: *(bool *)o->to = true; break;
    case OPT_STR: *(const char **)o->to = value; break;
    case OPT_LIST: set_list(o, value); break;
    case OPT_INT: set_int(o, value); break;
    case OPT_REAL: set_real(o, value); break;
    case OPT_CHOICE: set_choice(o, value); break;
    }
}

/* One long option at argv[i]; returns how many further words it took. */
static int parse_long(char **argv, int i, int argc, const struct option *options) {
    const char *name = argv[i] + 2, *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    if (!strcmp(name, "help")) print_help(options);
    if (!strcmp(name, "version")) {
        printf("coador %s\n", COADOR_VERSION);
        io_close_stdout();
        exit(RC_DONE);
    }
    const struct option *o = find(options, name, n);
    if (!o) die_usage("unknown option --%.*s", (int)n, name);
    if (o->kind == OPT_FLAG && eq) die_usage("--%s takes no value", o->name);
    if (o->kind == OPT_FLAG || eq) return set(o, eq ? eq + 1 : NULL), 0;
    if (i + 1 >= argc) die_usage("--%s needs a value: %s", o->name, o->arg);
    return set(o, argv[i + 1]), 1;
}

static int parse_letter(char **argv, int i, int argc, const struct option *options) {
    const struct option *o = find_letter(options, argv[i][1]);
    if (!o) die_usage("unknown option -%c", argv[i][1]);
    if (o->kind == OPT_FLAG) {
        if (argv[i][2]) die_usage("unknown option %s", argv[i]);
        return set(o, NULL), 0;
    }
    if (argv[i][2]) return set(o, argv[i] + 2), 0;
    if (i + 1 >= argc) die_usage("-%c needs a value: %s", o->letter, o->arg);
    return set(o, argv[i + 1]), 1;
}

int opt_parse(int argc, char **argv, const char *name, const char *usage, const struct option *options) {
    int n = 0, i = 1;
    tool = name;
    synopsis = usage;
    for (; i < argc; i++) {
        if (!strcmp(argv[i], "--")) break;
        if (argv[i][0] == '-' && argv[i][1] == '-')
            i += parse_long(argv, i, argc, options);
        else if (argv[i][0] == '-' && argv[i][1])
            i += parse_letter(argv, i, argc, options);
        else
            argv[n++] = argv[i];
    }
    for (i++; i < argc; i++) argv[n++] = argv[i];
    return n;
}

int opt_given(const char *name) {
    for (int i = 0; i < n_given; i++)
        if (!strcmp(given[i], name)) return 1;
    return 0;
}

void must(int rc, const struct err *e) {
    if (rc < 0) die_err(e);
}

void opt_refuse_terminal(const char *output) {
    if ((!output || !strcmp(output, "-")) && isatty(STDOUT_FILENO)) die_usage("standard output is a terminal: name a file by -o, or pipe it");
}
