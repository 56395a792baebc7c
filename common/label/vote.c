/* Votes over answers: see vote.h. */
#include "common/label/vote.h"
#include <stdlib.h>
#include <string.h>

void vote_init(struct vote *v, const struct schema *s) {
    *v = (struct vote){.n_fields = schema_n_fields(s)};
    v->label = xcalloc((size_t)v->n_fields, sizeof *v->label);
    v->votes = xcalloc((size_t)v->n_fields, sizeof *v->votes);
}

void vote_release(struct vote *v) {
    free(v->label);
    free(v->votes);
    *v = (struct vote){0};
}

/* The member at a path of names joined by dots; names may hold dots themselves. */
static const struct json *walk(const struct json *v, const char *path) {
    const struct json *m = json_get(v, path);
    for (const char *dot = strchr(path, '.'); !m && dot; dot = strchr(dot + 1, '.')) {
        const struct json *part = json_getn(v, path, (size_t)(dot - path));
        if (part) m = walk(part, dot + 1);
    }
    return m;
}

int vote_label(const struct schema *s, int field, const struct json *answer) {
    const struct json *leaf = walk(answer, schema_field(s, field));
    int K = schema_field_n_values(s, field);
    for (int k = 0; leaf && k < K; k++)
        if (json_is_str(leaf, schema_field_value(s, field, k))) return k;
    return K;
}

static void count_field(struct vote *v, const struct schema *s, int field, const struct json *const *answers, int n) {
    int K = schema_field_n_values(s, field);
    int *votes = xcalloc((size_t)K + 1, sizeof *votes);
    for (int i = 0; i < n; i++)
        if (answers[i]) votes[vote_label(s, field, answers[i])]++;
    v->votes[field] = 0;
    for (int i = 0; i < n; i++) { /* in order: the first to reach the maximum is the first answer that has it */
        int k = answers[i] ? vote_label(s, field, answers[i]) : -1;
        if (k < 0 || votes[k] <= v->votes[field]) continue;
        v->label[field] = k;
        v->votes[field] = votes[k];
    }
    free(votes);
}

void vote_count(struct vote *v, const struct schema *s, const struct json *const *answers, int n) {
    v->asked = n;
    v->valid = 0;
    v->kept = -1;
    v->agreeing = -1;
    for (int f = 0; f < v->n_fields; f++) count_field(v, s, f, answers, n);
    for (int i = 0; i < n; i++) {
        int same = 0;
        if (!answers[i]) continue;
        v->valid++;
        for (int f = 0; f < v->n_fields; f++) same += vote_label(s, f, answers[i]) == v->label[f];
        if (same <= v->agreeing) continue;
        v->agreeing = same;
        v->kept = i;
    }
    if (v->agreeing < 0) v->agreeing = 0;
}

struct change { /* a leaf of the kept answer whose label is another, or goes (NULL) */
    const struct json *leaf;
    const char *label;
};

static void put_changed(struct buf *b, const struct json *v, const struct change *c, int n) {
    if (v->type != JSON_OBJECT) {
        json_put_value(b, v);
        return;
    }
    buf_addc(b, '{');
    for (const struct json *m = v->first; m; m = m->next) {
        int i = 0;
        while (i < n && c[i].leaf != m) i++;
        if (i < n && !c[i].label) continue;
        if (b->p[b->n - 1] != '{') buf_addc(b, ',');
        json_put_string(b, m->key, m->key_len);
        buf_addc(b, ':');
        if (i < n)
            json_put_string(b, c[i].label, strlen(c[i].label));
        else
            put_changed(b, m, c, n);
    }
    buf_addc(b, '}');
}

int vote_put(const struct vote *v, const struct schema *s, const struct json *kept, struct buf *out, struct err *e) {
    struct change *c = xcalloc((size_t)v->n_fields, sizeof *c);
    int n = 0, rc = 0;
    for (int f = 0; !rc && f < v->n_fields; f++) {
        int K = schema_field_n_values(s, f);
        if (vote_label(s, f, kept) == v->label[f]) continue;
        c[n] = (struct change){walk(kept, schema_field(s, f)), v->label[f] < K ? schema_field_value(s, f, v->label[f]) : NULL};
        if (!c[n++].leaf) rc = err_set(e, RC_INPUT, "the answers differ in which members they have: %s", schema_field(s, f));
    }
    if (!rc) put_changed(out, kept, c, n);
    free(c);
    return rc;
}
