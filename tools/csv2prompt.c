/* csv2prompt: rows of a CSV through prompt and answer templates into JSONL records (coador-records(5)).
       coador csv2prompt --prompt p.txt --completion c.txt --split train=0.7,test=0.3 --part test news.csv */
#include "common/io/csv.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/opt.h"
#include "common/io/progress.h"
#include "common/io/template.h"
#include "common/text/answer.h"
#include "common/text/labelmap.h"
#include "common/text/rowfeed.h"
#include "common/text/rowids.h"
#include "common/text/shots.h"
#include "common/text/split.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK ((size_t)1 << 16)    /* bytes that the stream takes without a copy */
#define GATHERED ((size_t)1 << 18) /* bytes of records written at a time */

static const char usage[] =
    "coador csv2prompt --prompt FILE [--completion FILE] [--truth FILE] [--map FILE] [--id COLUMN]\n"
    "       [--split NAME=FRACTION,... --part NAME] [--group-by COLUMN] [--seed N] [--shots K]\n"
    "       [--shot-separator TEXT] [--limit N] [--delimiter C] [--completion-style STYLE]\n"
    "       [--notebook-quotes] [--threads N] [-o FILE] [CSV]";

static struct {
    const char *prompt, *completion, *truth, *map, *id, *split, *part, *group_by, *separator, *delimiter, *output;
    int64_t seed, shots, limit, threads;
    int style;
    bool notebook;
} opts = {.separator = "\\n\\n", .delimiter = ",", .limit = -1};

static const struct option options[] = {
    {"prompt", 0, OPT_STR, &opts.prompt, "FILE", "template of the prompt: {column}, {column|json}, {{ and }}", 0, 0},
    {"completion", 0, OPT_STR, &opts.completion, "FILE", "template of the answer to train on", 0, 0},
    {"truth", 0, OPT_STR, &opts.truth, "FILE", "template of the truth, where it is not the completion's", 0, 0},
    {"map", 0, OPT_STR, &opts.map, "FILE", "YAML: columns, labels, allowed", 0, 0},
    {"id", 0, OPT_STR, &opts.id, "COLUMN", "column of unique ids (else a hash of the row)", 0, 0},
    {"split", 0, OPT_STR, &opts.split, "NAME=FRACTION,...", "parts whose fractions sum to 1", 0, 0},
    {"part", 0, OPT_STR, &opts.part, "NAME", "the part of --split to write", 0, 0},
    {"group-by", 0, OPT_STR, &opts.group_by, "COLUMN", "keep rows of equal COLUMN in one part", 0, 0},
    {"seed", 0, OPT_INT, &opts.seed, "N", "of --split and --shots (0)", 0, 0},
    {"shots", 0, OPT_INT, &opts.shots, "K", "put K examples of the first part before each prompt", 0, 10000},
    {"shot-separator", 0, OPT_STR, &opts.separator, "TEXT", "after each example; \\n and \\t are read (\\n\\n)", 0, 0},
    {"limit", 0, OPT_INT, &opts.limit, "N", "write at most N records", 0, 1e15},
    {"delimiter", 0, OPT_STR, &opts.delimiter, "C", "between cells: one ASCII character, or tab (,)", 0, 0},
    {"completion-style", 0, OPT_CHOICE, &opts.style, "compact|python|verbatim", "how a JSON answer is written (compact)", 0, 0},
    {"notebook-quotes", 0, OPT_FLAG, &opts.notebook, NULL, "answers as Python prints a dict", 0, 0},
    {"threads", 0, OPT_INT, &opts.threads, "N", "CPU threads, of which two are used (all cores)", 0, 1024},
    {"output", 'o', OPT_STR, &opts.output, "FILE", "instead of standard output", 0, 0},
    OPT_END,
};

/* A record kept until its examples are known. */
struct item {
    char *id, *prompt, *tail; /* tail: the record's text behind the prompt */
    int64_t line;
    struct row_key key;
};

struct job {
    struct csv *csv;
    struct template *prompt, *completion, *truth; /* the last two may be NULL */
    struct labelmap *map;
    bool *in_prompt, *is_label; /* columns of the prompt; columns of the answers alone */
    size_t n_labels;
    long id, group; /* columns, or -1 */
    struct split split;
    int part; /* wanted; -1: all */
    char *separator;
    struct rowfeed *feed;
    struct rowids *ids; /* of --id */
    struct answer *completion_answer, *truth_answer; /* NULL as the templates */
    struct shots *shots; /* NULL without --shots */
    struct item *items;
    size_t n_items, cap_items;
    struct row row;
    struct cell *cells; /* the row's, its labels mapped */
    struct buf *names; /* of the columns, as `row` has them */
    struct buf scratch;
    struct buf text, tail; /* of a row for --shots: what its example says, the members behind its prompt */
    struct buf lines; /* records to be written */
    bool at_once; /* records are to be seen, not gathered */
    struct out out;
    int64_t written;
    bool warned;
};

/* ---- setting up ---- */
static char parse_delimiter(const char *s) {
    if (!strcmp(s, "tab") || !strcmp(s, "\\t")) return '\t';
    unsigned char c = (unsigned char)s[0];
    if (!c || s[1] || c > 126 || c == '"' || c == '\r' || c == '\n')
        die_usage("--delimiter '%s': expected one ASCII character other than a quote or a line end, or tab", s);
    return (char)c;
}

static char *parse_separator(const char *s) {
    struct buf b = BUF_INIT;
    for (; *s; s++) {
        if (*s != '\\') {
            buf_addc(&b, *s);
            continue;
        }
        s++;
        if (!*s || !strchr("nt\\", *s)) die_usage("--shot-separator: \\%c is unknown, expected \\n, \\t or \\\\", *s ? *s : ' ');
        buf_addc(&b, *s == 'n' ? '\n' : *s == 't' ? '\t' : '\\');
    }
    buf_addc(&b, 0);
    if (utf8_valid(b.p, b.n) < b.n) die_usage("--shot-separator: expected UTF-8 text");
    return buf_detach(&b);
}

static void check_options(struct job *j) {
    struct err e = ERR_INIT;
    if (!opts.prompt) die_usage("--prompt is missing");
    if (!opts.split != !opts.part) die_usage("--split and --part go together");
    if (opts.group_by && !opts.split && !opts.shots) die_usage("--group-by has no use without --split or --shots");
    if (opts.shots && !opts.completion) die_usage("--shots needs --completion: examples show answers");
    if (opt_given("shot-separator") && !opts.shots) die_usage("--shot-separator has no use without --shots");
    if (opts.notebook && opt_given("completion-style")) die_usage("--notebook-quotes and --completion-style exclude each other");
    if (!opts.completion && (opts.notebook || opt_given("completion-style")))
        die_usage("%s needs --completion", opts.notebook ? "--notebook-quotes" : "--completion-style");
    if (opts.notebook) opts.style = ANSWER_NOTEBOOK;
    j->part = -1;
    if (!opts.split) return;
    if (split_parse(&j->split, opts.split, (uint64_t)opts.seed, &e) < 0) die_usage("%s", e.msg);
    j->part = split_find(&j->split, opts.part);
    if (j->part < 0) die_usage("--part %s: no such part in --split %s", opts.part, opts.split);
}

static long find_column(struct job *j, const char *option, const char *name, struct err *e) {
    if (!name) return -1;
    long column = columns_find(labelmap_columns(j->map), name, strlen(name));
    if (column >= 0) return column;
    struct buf list = BUF_INIT;
    columns_list(labelmap_columns(j->map), &list);
    err_set(e, RC_INPUT, "%s:1: no column '%.60s' for --%s, expected one of %s", csv_name(j->csv), name, option, list.p);
    buf_release(&list);
    return -2;
}

static struct template *read_template(struct job *j, const char *path, bool *used, struct err *e) {
    struct template *t = template_read(path, e);
    if (t && template_bind(t, labelmap_columns(j->map), e) == 0) {
        template_used(t, used);
        return t;
    }
    template_free(t);
    return NULL;
}

/* What stands before each cell of `row`: the quote and comma or the brace, the column's name, the colon, the quote. */
static void write_names(struct job *j) {
    const struct cell *names = csv_names(j->csv);
    j->names = xcalloc(csv_columns(j->csv), sizeof *j->names);
    for (size_t i = 0; i < csv_columns(j->csv); i++) {
        buf_adds(&j->names[i], i ? "\"," : "{");
        json_put_string(&j->names[i], names[i].p, names[i].n);
        buf_adds(&j->names[i], ":\"");
    }
}

static int threads(void) {
    cpu_set_t cores;
    if (opts.threads) return (int)opts.threads;
    return sched_getaffinity(0, sizeof cores, &cores) ? 1 : CPU_COUNT(&cores);
}

static int set_up(struct job *j, const char *path, struct err *e) {
    j->separator = parse_separator(opts.separator);
    if (!(j->csv = csv_open(path, parse_delimiter(opts.delimiter), e))) return -1;
    size_t n = csv_columns(j->csv);
    if (!(j->map = labelmap_read(opts.map, csv_names(j->csv), n, e))) return -1;
    j->in_prompt = xcalloc(n, sizeof *j->in_prompt);
    j->is_label = xcalloc(n, sizeof *j->is_label);
    j->cells = xcalloc(n, sizeof *j->cells);
    if (!(j->prompt = read_template(j, opts.prompt, j->in_prompt, e))) return -1;
    if (opts.completion && !(j->completion = read_template(j, opts.completion, j->is_label, e))) return -1;
    if (opts.truth && !(j->truth = read_template(j, opts.truth, j->is_label, e))) return -1;
    for (size_t i = 0; i < n; i++) {
        if (j->in_prompt[i]) j->is_label[i] = false;
        j->n_labels += j->is_label[i];
    }
    if (labelmap_check(j->map, j->in_prompt, e) < 0) return -1;
    if ((j->id = find_column(j, "id", opts.id, e)) == -2) return -1;
    if ((j->group = find_column(j, "group-by", opts.group_by, e)) == -2) return -1;
    write_names(j);
    if (j->id >= 0) j->ids = rowids_new();
    if (j->completion) j->completion_answer = answer_new("completion", j->completion, (enum answer_style)opts.style);
    if (j->truth) j->truth_answer = answer_new("truth", j->truth, ANSWER_COMPACT);
    if (opts.shots) j->shots = shots_new(opts.shots, (uint64_t)opts.seed, j->separator);
    if (out_open(&j->out, opts.output, e) < 0) return -1;
    j->at_once = isatty(fileno(j->out.f));
    j->feed = rowfeed_open(j->csv, j->id < 0, threads(), e);
    return j->feed ? 0 : -1;
}

static void release(struct job *j) {
    for (size_t i = 0; j->names && i < csv_columns(j->csv); i++) buf_release(&j->names[i]);
    free(j->names);
    rowfeed_close(j->feed);
    csv_close(j->csv);
    template_free(j->prompt);
    template_free(j->completion);
    template_free(j->truth);
    labelmap_free(j->map);
    rowids_free(j->ids);
    answer_free(j->completion_answer);
    answer_free(j->truth_answer);
    shots_free(j->shots);
    for (size_t i = 0; i < j->n_items; i++) {
        free(j->items[i].id);
        free(j->items[i].prompt);
        free(j->items[i].tail);
    }
    free(j->items);
    free(j->in_prompt);
    free(j->is_label);
    free(j->cells);
    free(j->separator);
    struct buf *bufs[] = {&j->scratch, &j->text, &j->tail, &j->lines};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) buf_release(bufs[i]);
}

/* ---- one row ---- */
/* The row's id; NULL and e for an empty or repeated one. */
static const char *row_id(struct job *j, struct err *e) {
    if (j->id < 0) return j->row.id;
    const struct cell *id = &j->row.cells[j->id];
    int64_t first = id->n ? rowids_first(j->ids, id->p, id->n, j->row.line) : 0;
    if (!id->n)
        err_set(e, RC_INPUT, "column '%.60s' is empty, expected an id", opts.id);
    else if (first)
        err_set(e, RC_INPUT, "id '%.60s' already stands on line %lld, expected unique ids", id->p, (long long)first);
    else
        return id->p;
    return NULL;
}

/* What ties rows together: equal texts (the prompt's columns), and the group, which without --group-by is the text. */
static int row_key(struct job *j, struct row_key *key, struct err *e) {
    const struct cell *cells = j->row.cells;
    size_t n = csv_columns(j->csv);
    bool any = memchr(j->in_prompt, true, n) != NULL;
    key->text = key->group = cells_hash(cells, n, any ? j->in_prompt : NULL, &j->scratch);
    if (j->group < 0) return 0;
    if (!cells[j->group].n) return err_set(e, RC_INPUT, "column '%.60s' is empty, expected a group", opts.group_by);
    key->group = cells_hash(&cells[j->group], 1, NULL, &j->scratch);
    return 0;
}

/* Maps the labels into j->cells. 1: labelled, 0: every label is empty, -1: only some are, or one is not allowed. */
static int map_labels(struct job *j, struct err *e) {
    const struct cell *cells = j->row.cells;
    size_t n = csv_columns(j->csv), empty = 0, hole = 0;
    memcpy(j->cells, cells, n * sizeof *cells);
    for (size_t i = 0; i < n; i++)
        if (j->is_label[i] && !cells[i].n) empty++, hole = i;
    if (empty && empty < j->n_labels)
        return err_set(e, RC_INPUT, "column '%.60s' is empty, expected a label as in the row's other label columns (or none at all)",
                       csv_names(j->csv)[hole].p);
    if (empty) return 0;
    for (size_t i = 0; i < n; i++)
        if (j->is_label[i] && labelmap_apply(j->map, i, &j->cells[i], e) < 0) return -1;
    return 1;
}

static void put_row(const struct job *j, struct buf *b) {
    const struct cell *cells = j->row.cells;
    for (size_t i = 0; i < csv_columns(j->csv); i++) {
        buf_add(b, j->names[i].p, j->names[i].n);
        json_put_chars(b, cells[i].p, cells[i].n);
    }
    buf_add(b, "\"}", 2);
}

/* Completion, truth and row as members of the record. */
static void put_tail(const struct job *j, bool labelled, struct buf *b) {
    const struct answer *truth = j->truth ? j->truth_answer : j->completion_answer;
    if (labelled && j->completion) {
        buf_adds(b, ",\"completion\":\"");
        answer_text_chars(j->completion_answer, b);
        buf_addc(b, '"');
    }
    if (labelled && truth) {
        buf_adds(b, ",\"truth\":");
        answer_truth(truth, b);
    }
    buf_adds(b, ",\"row\":");
    put_row(j, b);
}

static int read_answers(struct job *j, struct err *e) {
    if (j->completion && answer_read(j->completion_answer, j->cells, e) < 0) return -1;
    return j->truth ? answer_read(j->truth_answer, j->cells, e) : 0;
}

/* The record up to its prompt's first byte. An id may be any text. */
static void put_head(struct job *j, const char *id) {
    buf_adds(&j->lines, "{\"id\":\"");
    json_put_chars(&j->lines, id, strlen(id));
    buf_adds(&j->lines, "\",\"prompt\":\"");
}

/* Writes the records gathered, all of them or whole blocks of the stream, which are not copied again. */
static int flush(struct job *j, bool all, struct err *e) {
    size_t n = all ? j->lines.n : j->lines.n / BLOCK * BLOCK;
    if (!n) return 0;
    if (fwrite(j->lines.p, 1, n, j->out.f) != n) return err_sys(e, "cannot write %s", opts.output ? opts.output : "standard output");
    memmove(j->lines.p, j->lines.p + n, j->lines.n - n);
    j->lines.n -= n;
    return 0;
}

/* Ends the record. */
static int put_end(struct job *j, struct err *e) {
    buf_add(&j->lines, "}\n", 2);
    return j->at_once || j->lines.n >= GATHERED ? flush(j, j->at_once, e) : 0;
}

static void check_prompt_end(struct job *j) {
    char last = j->warned ? 0 : template_last(j->prompt, j->cells);
    if (last != ' ' && last != '\t') return;
    warn("%s:%lld: the prompt ends in white space; put it at the start of the completion", csv_name(j->csv), (long long)j->row.line);
    j->warned = true;
}

/* A record that may be written: now, or with --shots, its prompt in j->text, when all rows are read. */
static int keep(struct job *j, const char *id, struct row_key key, bool labelled, struct err *e) {
    if (opts.limit >= 0 && j->written >= opts.limit) return 0;
    j->written++;
    check_prompt_end(j);
    if (!j->shots) {
        put_head(j, id);
        template_render_chars(j->prompt, j->cells, &j->lines);
        buf_addc(&j->lines, '"');
        put_tail(j, labelled, &j->lines);
        return put_end(j, e);
    }
    buf_clear(&j->tail);
    put_tail(j, labelled, &j->tail);
    GROW(j->items, j->n_items, j->cap_items);
    j->items[j->n_items++] = (struct item){xstrdup(id), xmemdup0(j->text.p, j->text.n), xmemdup0(j->tail.p, j->tail.n),
                                           j->row.line, key};
    return 0;
}

static int put_record(struct job *j, struct err *e) {
    struct row_key key = {0};
    bool tied = opts.split || opts.shots;
    const char *id = row_id(j, e);
    if (!id || (tied && row_key(j, &key, e) < 0)) return -1;
    int labelled = map_labels(j, e);
    if (labelled < 0 || (labelled && read_answers(j, e) < 0)) return -1;
    if (j->shots) {
        buf_clear(&j->text);
        template_render(j->prompt, j->cells, &j->text);
    }
    int part = opts.split ? split_part(&j->split, key.group) : -1;
    if (part == j->part && keep(j, id, key, labelled, e) < 0) return -1;
    if (!j->shots || !labelled || part > 0) return 0;
    answer_text(j->completion_answer, &j->text);
    shots_add(j->shots, key, j->text.p, j->text.n);
    return 0;
}

/* ---- all rows ---- */
static int finish_items(struct job *j, struct err *e) {
    for (size_t i = 0; i < j->n_items; i++) {
        struct item *x = &j->items[i];
        buf_clear(&j->text);
        if (shots_put(j->shots, x->id, x->key, &j->text, e) < 0)
            return err_prefix(e, "%s:%lld: ", csv_name(j->csv), (long long)x->line);
        put_head(j, x->id);
        json_put_chars(&j->lines, j->text.p, j->text.n);
        json_put_chars(&j->lines, x->prompt, strlen(x->prompt));
        buf_addc(&j->lines, '"');
        buf_adds(&j->lines, x->tail);
        if (put_end(j, e) < 0) return -1;
    }
    return flush(j, true, e);
}

/* After an error: the records before it are good. */
static void keep_written(struct job *j) {
    struct err ignored;
    flush(j, true, &ignored);
}

static int convert(struct job *j, struct err *e) {
    struct progress p;
    int64_t rows = 0;
    int rc;
    progress_start(&p, "csv2prompt", "rows", 0);
    if (j->at_once) progress_end(&p); /* the records are to be seen instead */
    while ((rc = rowfeed_next(j->feed, &j->row, e)) > 0) {
        if (put_record(j, e) < 0) {
            progress_end(&p);
            keep_written(j);
            return e->code == RC_INPUT ? err_prefix(e, "%s:%lld: ", csv_name(j->csv), (long long)j->row.line) : -1;
        }
        progress_at(&p, ++rows, NULL);
    }
    progress_end(&p);
    if (rc < 0) {
        keep_written(j);
        return -1;
    }
    if (!j->written) warn("%s: no record written: %s", csv_name(j->csv), rows ? "no row falls into the part, or --limit is 0" : "no rows");
    return finish_items(j, e);
}

int main(int argc, char **argv) {
    struct job j = {0};
    struct err e = ERR_INIT;
    int n = opt_parse(argc, argv, "csv2prompt", usage, options);
    if (n > 1) die_usage("%d operands, expected one CSV", n);
    check_options(&j);
    if (set_up(&j, n ? argv[0] : "-", &e) < 0 || convert(&j, &e) < 0 || out_commit(&j.out, &e) < 0) {
        rowfeed_close(j.feed);
        if (e.code == RC_USAGE) die_usage("%s", e.msg);
        die_err(&e);
    }
    release(&j);
    io_close_stdout();
    return RC_DONE;
}
