/* Labels and reasoning in one schema and one completion: see task.h. */
#include "common/label/task.h"
#include "common/io/io.h"
#include <stdlib.h>
#include <string.h>

static void put_key(struct buf *b, const char *key, size_t n) {
    if (b->n && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[') buf_addc(b, ',');
    json_put_string(b, key, n);
    buf_addc(b, ':');
}

/* The members of an object, or the elements of an array, with one more before or behind them. */
static void put_with(struct buf *b, const struct json *v, bool last, const char *key, const char *extra) {
    bool object = v->type == JSON_OBJECT;
    buf_addc(b, object ? '{' : '[');
    for (int side = 0; side < 2; side++) {
        if (side == (int)last) {
            if (b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[') buf_addc(b, ',');
            if (object) json_put_string(b, key, strlen(key)), buf_addc(b, ':');
            buf_adds(b, extra);
        }
        for (const struct json *m = side == 0 ? v->first : NULL; m; m = m->next) {
            if (m != v->first || !last) buf_addc(b, ',');
            if (object) json_put_string(b, m->key, m->key_len), buf_addc(b, ':');
            json_put_value(b, m);
        }
    }
    buf_addc(b, object ? '}' : ']');
}

/* The root of the schema again, with the key in properties and in required. */
static void put_asked(const struct label_task *t, const struct json *root, const char *string, struct buf *b) {
    static const struct json none = {.type = JSON_ARRAY};
    struct buf name = BUF_INIT;
    json_put_string(&name, t->reasoning, strlen(t->reasoning));
    buf_addc(b, '{');
    for (const struct json *m = root->first; m; m = m->next) {
        bool ours = !strcmp(m->key, "properties") || !strcmp(m->key, "required");
        if (!strcmp(m->key, "required")) continue;
        put_key(b, m->key, m->key_len);
        if (ours)
            put_with(b, m, t->last, t->reasoning, string);
        else
            json_put_value(b, m);
    }
    const struct json *required = json_get(root, "required");
    put_key(b, "required", 8);
    put_with(b, required ? required : &none, t->last, NULL, name.p);
    buf_addc(b, '}');
    buf_release(&name);
}

static int add_reasoning(struct label_task *t, const char *path, struct err *e) {
    struct buf b = BUF_INIT;
    const struct json *root = json_root(t->doc), *properties = json_get(root, "properties");
    if (!properties || properties->type != JSON_OBJECT || !properties->count)
        return err_set(e, RC_INPUT, "%s: the root has no properties, expected an object of labels to put %s beside", path, t->reasoning);
    if (json_get(properties, t->reasoning))
        return err_set(e, RC_INPUT, "%s: the labels have a property %s, expected another --reasoning-key", path, t->reasoning);
    put_asked(t, root, "{\"type\":\"string\",\"minLength\":1}", &b);
    t->asked = schema_compile(b.p, b.n, path, e);
    buf_clear(&b);
    put_asked(t, root, "{\"type\":\"string\"}", &b);
    t->told = buf_detach(&b);
    return t->asked ? 0 : -1;
}

int label_task_init(struct label_task *t, const char *schema_path, const char *reasoning, bool last, struct err *e) {
    size_t n;
    *t = (struct label_task){.reasoning = reasoning, .last = last};
    if (!(t->labels = schema_read_file(schema_path, e))) return -1;
    const char *text = schema_text(t->labels, &n);
    if (!(t->doc = json_parse_named(text, n, schema_path, e))) return -1;
    t->asked = t->labels;
    if (!reasoning) t->told = xmemdup0(text, n);
    if (reasoning && add_reasoning(t, schema_path, e) < 0) return -1;
    if (schema_n_fields(t->labels)) return 0;
    return err_set(e, RC_INPUT, "%s: no property is an enum of strings, expected labels to vote on", schema_path);
}

void label_task_release(struct label_task *t) {
    if (t->asked != t->labels) schema_free(t->asked);
    schema_free(t->labels);
    free(t->told);
    json_doc_free(t->doc);
    *t = (struct label_task){0};
}

const struct json *label_reasoning(const struct label_task *t, const struct json *answer) {
    return t->reasoning ? json_get(answer, t->reasoning) : NULL;
}

static void put_ordered(struct buf *b, const struct json *v, const struct json *schema, const char *without);

static void put_member(struct buf *b, const struct json *m, const struct json *schema, const char *without) {
    if (without && m->key_len == strlen(without) && !memcmp(m->key, without, m->key_len)) return;
    put_key(b, m->key, m->key_len);
    put_ordered(b, m, schema, NULL);
}

/* First the members that the schema's properties name, in their order, then the others in their own. */
static void put_ordered(struct buf *b, const struct json *v, const struct json *schema, const char *without) {
    const struct json *properties = schema ? json_get(schema, "properties") : NULL, *m;
    if (v->type != JSON_OBJECT) {
        json_put_value(b, v);
        return;
    }
    buf_addc(b, '{');
    for (const struct json *p = properties ? properties->first : NULL; p; p = p->next)
        if ((m = json_getn(v, p->key, p->key_len))) put_member(b, m, p, without);
    for (m = v->first; m; m = m->next)
        if (!properties || !json_getn(properties, m->key, m->key_len)) put_member(b, m, NULL, without);
    buf_addc(b, '}');
}

void label_put(const struct label_task *t, const struct json *labels, const struct json *reasoning, struct buf *out) {
    struct buf b = BUF_INIT;
    put_ordered(&b, labels, json_root(t->doc), t->reasoning);
    if (!reasoning) {
        buf_add(out, b.p, b.n);
    } else if (t->last) {
        buf_add(out, b.p, b.n - 1);
        if (b.n > 2) buf_addc(out, ',');
        json_put_string(out, t->reasoning, strlen(t->reasoning));
        buf_addc(out, ':');
        json_put_value(out, reasoning);
        buf_addc(out, '}');
    } else {
        buf_addc(out, '{');
        json_put_string(out, t->reasoning, strlen(t->reasoning));
        buf_addc(out, ':');
        json_put_value(out, reasoning);
        if (b.n > 2) buf_addc(out, ',');
        buf_add(out, b.p + 1, b.n - 1);
    }
    buf_release(&b);
}
