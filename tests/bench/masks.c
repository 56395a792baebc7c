/* Compile time of a schema and time of each token mask over documents, on one model's vocabulary.
   build/tests/bench/masks MODEL.gguf SCHEMA.json IDS.txt [RUNS]: IDS.txt has one document's token ids a line. Prints JSON. */
#include "tests/bench/bench.h"

#include "common/io/gguf.h"
#include "common/text/mask.h"
#include <ctype.h>

static struct ids *read_documents(const char *path, int *n) {
    struct ids *docs = NULL;
    size_t cap = 0;
    char *line = NULL;
    size_t size = 0;
    FILE *f = fopen(path, "r");
    *n = 0;
    while (f && getline(&line, &size, f) > 0) {
        GROW(docs, *n, cap);
        docs[*n] = (struct ids)IDS_INIT;
        for (char *p = line, *end; (void)strtol(p, &end, 10), end != p; p = end) ids_add(&docs[*n], (int32_t)strtol(p, NULL, 10));
        ++*n;
    }
    if (f) fclose(f);
    free(line);
    return docs;
}

static void print_times(const char *name, double *s, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += s[i];
    bench_sort(s, n);
    printf(",\"%s\":{\"n\":%d,\"mean_us\":%.3f,\"p50_us\":%.3f,\"p99_us\":%.3f,\"max_us\":%.3f}", name, n, sum / n * 1e6, s[n / 2] * 1e6, s[(int)(0.99 * (n - 1))] * 1e6, s[n - 1] * 1e6);
}

int main(int argc, char **argv) {
    struct err e = ERR_INIT;
    int n_docs, runs = argc > 4 ? atoi(argv[4]) : 9, n_first = 0, n_rest = 0;
    double compile[BENCH_MAX], t0;
    if (argc < 4) return 2;
    struct gguf *file = gguf_open(argv[1], &e);
    struct tokenizer *t = file ? tokenizer_from_gguf(file, &e) : NULL;
    struct schema *s = t ? schema_read_file(argv[2], &e) : NULL;
    struct ids *docs = read_documents(argv[3], &n_docs);
    if (!s || !n_docs) return fprintf(stderr, "%s\n", s ? "no documents" : e.msg), 3;
    t0 = bench_now();
    struct vocab *v = vocab_new(t);
    double setup = bench_now() - t0;
    struct grammar_options o = {GRAMMAR_PYTHON, "", vocab_bytes(v)};
    struct grammar *g = NULL;
    size_t len;
    const char *text = schema_text(s, &len);
    for (int i = 0; i < runs && i < BENCH_MAX; i++) {
        grammar_free(g);
        t0 = bench_now();
        struct schema *again = schema_compile(text, len, "S", &e);
        g = grammar_from_schema(again, &o, &e);
        compile[i] = bench_now() - t0;
        schema_free(again);
        if (!g) return fprintf(stderr, "%s\n", e.msg), 3;
    }
    double first = compile[0];
    bench_sort(compile, runs);
    printf("{\"vocab_ms\":%.3f,\"compile_ms_first\":%.4f,\"compile_ms_min\":%.4f,\"compile_ms_median\":%.4f", setup * 1e3, first * 1e3, compile[0] * 1e3, compile[runs / 2] * 1e3);
    struct masker *m = masker_new(g, v);
    uint32_t *bits = xcalloc((size_t)vocab_size(v) / 32 + 1, sizeof *bits);
    size_t total = 0;
    for (int d = 0; d < n_docs; d++) total += docs[d].n + 1;
    double *cold = xcalloc(total, sizeof *cold), *warm = xcalloc(total, sizeof *warm);
    for (int d = 0; d < n_docs; d++) {
        uint32_t state = grammar_start(g);
        for (size_t i = 0; i < docs[d].n; i++) {
            int32_t id = docs[d].v[i];
            t0 = bench_now();
            mask_fill(m, state, bits);
            double dt = bench_now() - t0;
            if (d) warm[n_rest++] = dt;
            else cold[n_first++] = dt;
            if (!(bits[id >> 5] >> (id & 31) & 1)) return fprintf(stderr, "document %d, token %zu (%d) is masked\n", d, i, (int)id), 1;
            state = mask_accept(m, state, id);
        }
        if (!grammar_done(g, state)) return fprintf(stderr, "document %d does not end\n", d), 1;
    }
    print_times("mask_first_document", cold, n_first);
    if (n_rest) print_times("mask", warm, n_rest);
    puts("}");
    return 0;
}
