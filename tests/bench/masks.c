/* Token masks of one schema after the other, timed: coador's side of masks.py. Requests come and answers go as JSON lines.
   masks [--annotate] TOKENIZER   {"schema": …, "ids": [[…], …], "compiles": N}: whether each text, as tokens, is accepted to its
                                  end; time of N compilations, of each mask, of each token taken
   masks --tokens TOKENIZER       {"texts": ["…", …]}: their tokens
   masks --vocab TOKENIZER        the bytes of all tokens in hexadecimal, which are special, which end an answer; a tokenizer.json
   TOKENIZER: a GGUF file or a tokenizer.json. No request may take more than BENCH_LIMIT seconds of processor time: a signal
   ends the program. BENCH_CLOCK as in bench.h. */
#include "tests/bench/bench.h"

#include "common/io/gguf.h"
#include "common/io/json.h"
#include "common/text/mask.h"
#include "common/text/tokenizer_write.h"
#include <sys/time.h>

struct times {
    double *s;
    size_t n, cap;
};

struct bench {
    struct tokenizer *t;
    struct vocab *v;
    uint32_t *bits;
    struct schema_options options;
    struct times compile, fill, take;
};

static void add_time(struct times *t, double since) {
    GROW(t->s, t->n, t->cap);
    t->s[t->n++] = bench_now() - since;
}

static void put_times(struct buf *out, const char *name, double unit, struct times *t) {
    buf_addf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < t->n; i++) buf_addf(out, "%s%.3f", i ? "," : "", t->s[i] * unit);
    buf_addc(out, ']');
    t->n = 0;
}

/* Whether the grammar takes the tokens one by one and may end behind them. */
static bool accepts(struct bench *b, struct grammar *g, struct masker *m, const struct json *ids) {
    uint32_t state = grammar_start(g);
    for (const struct json *x = ids->first; x && state != GRAMMAR_DEAD; x = x->next) {
        int32_t id = (int32_t)x->number;
        double t0 = bench_now();
        int32_t n = mask_fill(m, state, b->bits);
        add_time(&b->fill, t0);
        if (n < 0) return false; /* beyond the bounds on searches */
        t0 = bench_now();
        state = mask_accept(m, state, id);
        add_time(&b->take, t0);
        if ((state != GRAMMAR_DEAD) != (b->bits[id >> 5] >> (id & 31) & 1)) BUG("mask and accept differ");
    }
    return state != GRAMMAR_DEAD && grammar_done(g, state);
}

static struct grammar *compile(struct bench *b, const struct json *schema, struct err *e) {
    struct grammar_options o = {.space = GRAMMAR_PYTHON, .prefix = "", .bytes = vocab_bytes(b->v)};
    struct schema *s = schema_compile_with(schema->raw, schema->raw_len, "schema", &b->options, e);
    struct grammar *g = s ? grammar_from_schema(s, &o, e) : NULL;
    schema_free(s);
    return g;
}

static void answer(struct bench *b, const struct json *q, struct buf *out) {
    struct err e = ERR_INIT;
    struct grammar *g = NULL;
    struct json *n = json_get(q, "compiles");
    for (int i = 0; i < (n ? (int)n->number : 1); i++) {
        grammar_free(g);
        double t0 = bench_now();
        g = compile(b, json_get(q, "schema"), &e);
        add_time(&b->compile, t0);
        if (!g) break;
    }
    struct masker *m = g ? masker_new(g, b->v) : NULL;
    buf_adds(out, "{\"accepted\":[");
    const struct json *texts = json_get(q, "ids");
    for (const struct json *x = g ? texts->first : NULL; x; x = x->next)
        buf_addf(out, "%s%s", x == texts->first ? "" : ",", accepts(b, g, m, x) ? "true" : "false");
    buf_addc(out, ']');
    if (!g) buf_adds(out, ",\"error\":"), json_put_string(out, e.msg, strlen(e.msg));
    put_times(out, "compile_ms", 1e3, &b->compile);
    put_times(out, "fill_us", 1e6, &b->fill);
    put_times(out, "take_us", 1e6, &b->take);
    buf_addc(out, '}');
    masker_free(m);
    grammar_free(g);
}

static void put_tokens(struct bench *b, const struct json *q, struct buf *out) {
    struct err e = ERR_INIT;
    const struct json *texts = json_get(q, "texts");
    buf_adds(out, "{\"ids\":[");
    for (const struct json *x = texts->first; x; x = x->next) {
        struct ids ids = IDS_INIT;
        if (tokenizer_encode(b->t, x->str, x->len, &ids, &e) < 0) ids.n = 0;
        buf_adds(out, x == texts->first ? "[" : ",[");
        for (size_t i = 0; i < ids.n; i++) buf_addf(out, "%s%d", i ? "," : "", (int)ids.v[i]);
        buf_addc(out, ']');
        ids_release(&ids);
    }
    buf_adds(out, "]}");
}

static int put_vocab(struct bench *b, const struct gguf *file, struct buf *out, struct err *e) {
    const int32_t *eos;
    int n_eos = tokenizer_eos(b->t, &eos);
    struct buf text = BUF_INIT;
    buf_adds(out, "{\"tokens\":[");
    for (int32_t i = 0; i < tokenizer_size(b->t); i++) {
        buf_clear(&text);
        tokenizer_bytes(b->t, i, true, &text);
        buf_adds(out, i ? ",\"" : "\"");
        for (size_t k = 0; k < text.n; k++) buf_addf(out, "%02x", (unsigned char)text.p[k]);
        buf_addc(out, '"');
    }
    buf_adds(out, "],\"special\":[");
    bool comma = false;
    for (int32_t i = 0; i < tokenizer_size(b->t); i++)
        if (tokenizer_is_special(b->t, i)) buf_addf(out, "%s%d", comma ? "," : "", (int)i), comma = true;
    buf_adds(out, "],\"eos\":[");
    for (int i = 0; i < n_eos; i++) buf_addf(out, "%s%d", i ? "," : "", (int)eos[i]);
    buf_addc(out, ']');
    struct buf config = BUF_INIT;
    if (file) buf_adds(out, ",\"tokenizer\":");
    int rc = file ? tokenizer_write(file, out, &config, e) : 0;
    buf_addc(out, '}');
    buf_release(&config);
    buf_release(&text);
    return rc;
}

static void limit_time(const char *seconds) {
    struct itimerval t = {.it_value.tv_sec = seconds ? atoi(seconds) : 0};
    setitimer(ITIMER_PROF, &t, NULL);
}

static void serve(struct bench *b, bool tokens) {
    const char *limit = getenv("BENCH_LIMIT");
    struct buf out = BUF_INIT;
    char *line = NULL;
    size_t size = 0;
    for (ssize_t n; (n = getline(&line, &size, stdin)) > 0;) {
        struct err e = ERR_INIT;
        struct json_doc *d = json_parse(line, (size_t)n, &e);
        buf_clear(&out);
        limit_time(limit);
        if (!d) buf_adds(&out, "{\"accepted\":[],\"ids\":[],\"compile_ms\":[],\"fill_us\":[],\"take_us\":[],\"error\":"), json_put_string(&out, e.msg, strlen(e.msg)), buf_addc(&out, '}');
        else if (tokens) put_tokens(b, json_root(d), &out);
        else answer(b, json_root(d), &out);
        limit_time(NULL);
        puts(out.p);
        fflush(stdout);
        json_doc_free(d);
    }
    buf_release(&out);
    free(line);
}

int main(int argc, char **argv) {
    struct err e = ERR_INIT;
    const char *mode = argc == 3 ? argv[1] : "", *path = argv[argc - 1];
    if (argc < 2 || argc > 3) return 2;
    struct gguf *file = strstr(path, ".json") ? NULL : gguf_open(path, &e);
    struct bench b = {.options.annotate_unknown = !strcmp(mode, "--annotate")};
    b.t = file ? tokenizer_from_gguf(file, &e) : strstr(path, ".json") ? tokenizer_from_json(path, &e) : NULL;
    if (!b.t) return fprintf(stderr, "%s\n", e.msg), 3;
    b.v = vocab_new(b.t);
    b.bits = xcalloc((size_t)vocab_size(b.v) / 32 + 1, sizeof *b.bits);
    if (strcmp(mode, "--vocab")) return serve(&b, !strcmp(mode, "--tokens")), 0;
    struct buf out = BUF_INIT;
    if (put_vocab(&b, file, &out, &e) < 0) return fprintf(stderr, "%s\n", e.msg), 3;
    puts(out.p);
    return 0;
}
