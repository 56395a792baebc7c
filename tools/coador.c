/* The front end: `coador TOOL ARGS…` becomes the program TOOL, as git does with its commands.
       coador csv2prompt --prompt p.txt news.csv | coador generate --model m.gguf
   Programs are looked for in $COADOR_EXEC_PATH if set; else in ../libexec/coador beside this executable; else in the
   folder named when it was built. The tool replaces this process, so its exit status and signals are the caller's. */
#include "common/io/buf.h"
#include "common/io/io.h"
#include "common/io/opt.h"
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] = "coador TOOL [ARGUMENT]...\n"
                            "       coador help [TOOL]\n"
                            "       coador --exec-path | --help | --version";

static const struct {
    const char *name, *does;
} known[] = {
    {"csv2prompt", "rows of a CSV file through prompt and answer templates, as records"},
    {"quantize", "write a model in fewer bits, with a report of the error"},
    {"lora-train", "fine-tune a frozen model with LoRA adapters"},
    {"generate", "answer the prompts of records with a model, or score given answers"},
    {"parse-json", "extract, repair and validate the JSON in answers"},
    {"distill-label", "label records with a teacher's reasoning and answers"},
    {"eval", "compare answers with the truth: scores, intervals, paired tests"},
    {"lora-merge", "add an adapter to its model and write the result"},
    {"tensors", "list, verify, extract and compare tensor streams and model files"},
    {"pipeline", "run the stages of a pipeline folder that are out of date"},
    {"doctor", "say what this build and this machine have"},
};
#define N_KNOWN (sizeof known / sizeof *known)

struct names {
    char **v;
    size_t n;
};

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The executable files of a folder, sorted. */
static void list_tools(const char *dir, struct names *t) {
    struct stat st;
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *x; (x = readdir(d));) {
        char *p = io_join(dir, x->d_name);
        if (x->d_name[0] != '.' && !stat(p, &st) && S_ISREG(st.st_mode) && !access(p, X_OK) && !strstr(x->d_name, ".so")) {
            t->v = xrealloc(t->v, t->n + 1, sizeof *t->v);
            t->v[t->n++] = xstrdup(x->d_name);
        }
        free(p);
    }
    closedir(d);
    if (t->n) qsort(t->v, t->n, sizeof *t->v, by_name);
}

static void free_names(struct names *t) {
    for (size_t i = 0; i < t->n; i++) free(t->v[i]);
    free(t->v);
    *t = (struct names){0};
}

/* Path of this executable, links resolved; "" where the system does not say. */
static const char *self(void) {
    static char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return path;
}

static const char *exec_path(void) {
    static char *found;
    const char *given = getenv("COADOR_EXEC_PATH");
    if (given && *given) return given;
    if (found) return found;
    if (*self()) {
        char *copy = xstrdup(self()), *bin = dirname(copy);
        found = io_join(bin, "../libexec/coador");
        free(copy);
        char *real = realpath(found, NULL);
        free(found);
        found = real;
    }
    if (!found || !io_is_dir(found)) {
        free(found);
        found = xstrdup(COADOR_LIBEXEC);
    }
    return found;
}

/* Edits (insert, delete, replace; Levenshtein 1966) that turn a into b. */
static int edits(const char *a, const char *b) {
    int row[64], n = (int)strlen(b);
    if (n > 63) return INT_MAX;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; *a; a++, i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int above = row[j], best = diagonal + (*a != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[n];
}

static _Noreturn void unknown(const char *name) {
    struct names t = {0};
    const char *nearest = NULL;
    int least = INT_MAX;
    list_tools(exec_path(), &t);
    if (!t.n) die(RC_IO, "no programs in %s (set COADOR_EXEC_PATH to their folder)", exec_path());
    for (size_t i = 0; i < t.n; i++) {
        int d = edits(name, t.v[i]);
        if (d < least) least = d, nearest = t.v[i];
    }
    die(RC_USAGE, "unknown tool %s; the nearest name is %s (coador --help lists all)", name, nearest);
}

static void print_help(void) {
    struct names t = {0};
    printf("usage: %s\n\nTools:\n", usage);
    list_tools(exec_path(), &t);
    for (size_t k = 0; k < N_KNOWN; k++)
        for (size_t i = 0; i < t.n; i++)
            if (!strcmp(t.v[i], known[k].name)) printf("  %-14s %s\n", known[k].name, known[k].does);
    for (size_t i = 0; i < t.n; i++) {
        size_t k = 0;
        while (k < N_KNOWN && strcmp(t.v[i], known[k].name)) k++;
        if (k == N_KNOWN) printf("  %s\n", t.v[i]);
    }
    if (!t.n) printf("  none found in %s\n", exec_path());
    printf("\n`coador help TOOL` shows a tool's options; the manual pages are coador-TOOL(1) and coador(7).\n");
    free_names(&t);
    io_close_stdout();
}

/* Becomes the tool; argv[0] is its name. Returns only when there is no such program. */
static void become(const char *name, char **argv) {
    if (!*name || strchr(name, '/') || *name == '.') return;
    char *path = io_join(exec_path(), name);
    if (*self()) setenv("COADOR_FRONT_END", self(), 1);
    signal(SIGPIPE, SIG_DFL); /* a parent that ignores it must not turn a closed pipe into an error message */
    execv(path, argv);
    if (errno != ENOENT) die(RC_IO, "cannot run %s: %s", path, strerror(errno));
    free(path);
}

static int front_option(const char *a) {
    if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
        print_help();
    } else if (!strcmp(a, "--version")) {
        printf("coador %s\n", COADOR_VERSION);
        io_close_stdout();
    } else if (!strcmp(a, "--exec-path")) {
        printf("%s\n", exec_path());
        io_close_stdout();
    } else {
        die_usage("unknown option %s", a);
    }
    return RC_DONE;
}

int main(int argc, char **argv) {
    static const struct option none[] = {OPT_END};
    char *no_arguments[] = {argv[0], NULL};
    opt_parse(1, no_arguments, "coador", usage, none); /* sets the name and usage that messages carry */
    if (argc < 2) die_usage("which tool?");
    if (argv[1][0] == '-') return front_option(argv[1]);
    if (!strcmp(argv[1], "help")) {
        if (argc == 2) return print_help(), RC_DONE;
        if (argc > 3) die_usage("help takes one tool");
        char *help[] = {argv[2], (char[]){"--help"}, NULL};
        become(argv[2], help);
        unknown(argv[2]);
    }
    become(argv[1], argv + 1);
    unknown(argv[1]);
}
