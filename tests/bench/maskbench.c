/* MaskBench's files: {"schema": …, "tests": [{"valid": …, "data": …}]}. Of each: whether the schema compiles, whether its valid
   instances are accepted to the end and the invalid ones are not (written as python's json.dumps writes them), compile time,
   time of each mask with the tokens of the model. One JSON line a file.
   build/tests/bench/maskbench [--annotate] MODEL.gguf FILE... */
#include "tests/bench/bench.h"

#include "common/io/gguf.h"
#include "common/text/mask.h"

static void put_python(struct buf *b, const struct json *v) {
    if (v->type == JSON_STRING) json_put_string(b, v->str, v->len);
    else if (v->type < JSON_STRING) buf_add(b, v->raw, v->raw_len);
    if (v->type <= JSON_STRING) return;
    buf_addc(b, v->type == JSON_ARRAY ? '[' : '{');
    for (const struct json *x = v->first; x; x = x->next) {
        if (x != v->first) buf_adds(b, ", ");
        if (v->type == JSON_OBJECT) json_put_string(b, x->key, x->key_len), buf_adds(b, ": ");
        put_python(b, x);
    }
    buf_addc(b, v->type == JSON_ARRAY ? ']' : '}');
}

struct bench {
    struct tokenizer *t;
    struct vocab *v;
    uint32_t *bits;
    double *mask;
    size_t n_mask, cap_mask;
};

/* Whether the grammar takes the text token by token and may end there. */
static bool accepts(struct bench *b, struct grammar *g, struct masker *m, const struct buf *text) {
    struct ids ids = IDS_INIT;
    struct err e = ERR_INIT;
    uint32_t state = grammar_start(g);
    if (tokenizer_encode(b->t, text->p, text->n, &ids, &e) < 0) state = GRAMMAR_DEAD;
    for (size_t i = 0; i < ids.n && state != GRAMMAR_DEAD; i++) {
        double t0 = bench_now();
        mask_fill(m, state, b->bits);
        GROW(b->mask, b->n_mask, b->cap_mask);
        b->mask[b->n_mask++] = bench_now() - t0;
        uint32_t to = mask_accept(m, state, ids.v[i]);
        if ((to != GRAMMAR_DEAD) != (b->bits[ids.v[i] >> 5] >> (ids.v[i] & 31) & 1)) BUG("mask and accept differ");
        state = to;
    }
    ids_release(&ids);
    return state != GRAMMAR_DEAD && grammar_done(g, state);
}

static void print_masks(struct bench *b) {
    double sum = 0;
    for (size_t i = 0; i < b->n_mask; i++) sum += b->mask[i];
    if (b->n_mask > INT32_MAX) return;
    printf(",\"masks\":%zu,\"mask_us_sum\":%.2f,\"mask_us\":[", b->n_mask, sum * 1e6);
    for (size_t i = 0; i < b->n_mask; i++) printf("%s%.2f", i ? "," : "", b->mask[i] * 1e6);
    printf("]");
}

static void one_file(struct bench *b, const char *path, bool annotate) {
    struct err e = ERR_INIT;
    struct json_doc *d = json_read_file(path, &e);
    const struct json *schema = d ? json_get(json_root(d), "schema") : NULL, *tests = d ? json_get(json_root(d), "tests") : NULL;
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    struct buf text = BUF_INIT;
    int wrong_valid = 0, wrong_invalid = 0, n = 0;
    b->n_mask = 0;
    buf_adds(&text, name);
    printf("{\"file\":");
    struct buf q = BUF_INIT;
    json_put_string(&q, name, strlen(name));
    printf("%s", q.p);
    struct grammar_options o = {GRAMMAR_PYTHON, "", vocab_bytes(b->v)};
    double t0 = bench_now();
    struct schema_options so = {.annotate_unknown = annotate};
    struct schema *s = schema ? schema_compile_with(schema->raw, schema->raw_len, "S", &so, &e) : NULL;
    struct grammar *g = s ? grammar_from_schema(s, &o, &e) : NULL;
    printf(",\"compile_ms\":%.3f", (bench_now() - t0) * 1e3);
    if (!g) {
        buf_clear(&q);
        json_put_string(&q, e.msg, strlen(e.msg));
        printf(",\"error\":%s", q.p);
    }
    struct masker *m = g ? masker_new(g, b->v) : NULL;
    for (const struct json *x = g && tests ? tests->first : NULL; x; x = x->next, n++) {
        const struct json *data = json_get(x, "data"), *valid = json_get(x, "valid");
        buf_clear(&text);
        put_python(&text, data);
        bool yes = accepts(b, g, m, &text);
        if (valid->truth && !yes) wrong_valid++;
        if (!valid->truth && yes) wrong_invalid++;
    }
    printf(",\"tests\":%d,\"valid_refused\":%d,\"invalid_accepted\":%d", n, wrong_valid, wrong_invalid);
    print_masks(b);
    puts("}");
    fflush(stdout);
    masker_free(m);
    grammar_free(g);
    schema_free(s);
    json_doc_free(d);
    buf_release(&text);
    buf_release(&q);
}

int main(int argc, char **argv) {
    struct err e = ERR_INIT;
    bool annotate = argc > 1 && !strcmp(argv[1], "--annotate");
    argv += annotate, argc -= annotate;
    if (argc < 3) return 2;
    struct gguf *file = gguf_open(argv[1], &e);
    struct bench b = {.t = file ? tokenizer_from_gguf(file, &e) : NULL};
    if (!b.t) return fprintf(stderr, "%s\n", e.msg), 3;
    b.v = vocab_new(b.t);
    b.bits = xcalloc((size_t)vocab_size(b.v) / 32 + 1, sizeof *b.bits);
    for (int i = 2; i < argc; i++) one_file(&b, argv[i], annotate);
    return 0;
}
