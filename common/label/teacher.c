/* Teachers from the command line: see teacher.h. */
#include "common/label/teacher.h"
#include "common/io/http.h"
#include "common/io/io.h"
#include "common/io/opt.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEY 65536

struct parts { /* options of one spec, before they are used */
    char *base_url, *key_env, *key_file, *price_in, *price_out, *id, *adapter;
};

static bool take(const char *part, const char *name, char **to) {
    size_t n = strlen(name);
    if (strncmp(part, name, n) || part[n] != '=') return false;
    free(*to);
    *to = xstrdup(part + n + 1);
    return true;
}

/* Splits at commas: first the name, then options. */
static int split(struct teacher *t, struct parts *p, const char *text, struct err *e) {
    char *copy = xstrdup(text), *save = NULL;
    int rc = 0;
    for (char *s = strtok_r(copy, ",", &save); s && !rc; s = strtok_r(NULL, ",", &save)) {
        if (!t->name) {
            t->name = xstrdup(s);
            continue;
        }
        bool known = t->is_local ? take(s, "adapter", &p->adapter)
                                 : take(s, "base-url", &p->base_url) || take(s, "key-env", &p->key_env) || take(s, "key-file", &p->key_file) ||
                                       take(s, "price-in", &p->price_in) || take(s, "price-out", &p->price_out) || take(s, "id", &p->id);
        if (!known)
            rc = err_set(e, RC_USAGE, "--teacher %s: unknown part '%.*s', expected %s", t->spec, (int)strcspn(s, "="), s,
                         t->is_local ? "adapter=DIR" : "base-url, key-env, key-file, price-in, price-out or id, each with =VALUE");
    }
    free(copy);
    if (!rc && !t->name) rc = err_set(e, RC_USAGE, "--teacher %s: no model, expected openai:NAME or local:MODEL", t->spec);
    return rc;
}

static int price(const char *text, double otherwise, double *out, struct err *e) {
    char *end;
    *out = text ? strtod(text, &end) : otherwise;
    if (text && (end == text || *end || !isfinite(*out) || *out < 0)) return err_set(e, RC_USAGE, "price %s: expected a number of at least 0", text);
    return 0;
}

/* ---- keys ---- */
static int read_key(struct teacher *t, const char *env, const char *file, bool must, struct err *e) {
    struct buf b = BUF_INIT;
    const char *value = env ? getenv(env) : NULL;
    if (file && io_read_all(file, MAX_KEY, &b, e) < 0) return -1;
    if (!file && value) buf_adds(&b, value);
    while (b.n && strchr(" \t\r\n", b.p[b.n - 1])) b.p[--b.n] = 0;
    if (!b.n) {
        buf_release(&b);
        return must ? err_set(e, RC_USAGE, file ? "--key-file %s is empty" : "environment variable %s is not set", file ? file : env) : 0;
    }
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] < 33 || b.p[i] > 126) {
            buf_release(&b);
            return err_set(e, RC_USAGE, "the key in %s has a character that no key has", file ? file : env);
        }
    t->key = buf_detach(&b);
    buf_addf(&b, "Authorization: Bearer %s", t->key);
    t->authorization = buf_detach(&b);
    return 0;
}

void teacher_hide_key(const struct teacher *t, char *text, size_t n) {
    size_t k = t->key ? strlen(t->key) : 0;
    if (k < 4) return; /* a dummy */
    for (char *p = text; (p = memmem(p, n - (size_t)(p - text), t->key, k)); p += k) memset(p, '*', k);
}

/* ---- where it is served ---- */
static int set_url(struct teacher *t, const char *base, struct err *e) {
    struct buf b = BUF_INIT;
    int loopback = 0;
    if (http_check_url(base, &loopback, e) < 0) return -1;
    size_t n = strlen(base);
    while (n && base[n - 1] == '/') n--;
    buf_add(&b, base, n);
    const char *host = strstr(b.p, "://");
    if (host && !strchr(host + 3, '/')) buf_adds(&b, "/v1");
    buf_adds(&b, "/chat/completions");
    t->url = buf_detach(&b);
    if (t->key && !loopback && !strncasecmp(t->url, "http:", 5)) warn("%s: the key travels unencrypted, https would hide it", t->url);
    return 0;
}

static int finish_served(struct teacher *t, struct parts *p, const struct teacher_defaults *d, struct err *e) {
    const char *env_url = getenv("OPENAI_BASE_URL");
    const char *base = p->base_url ? p->base_url : d->base_url ? d->base_url : env_url && *env_url ? env_url : "https://api.openai.com/v1";
    bool own = p->key_env || p->key_file, given = own || d->key_env || d->key_file;
    const char *env = own ? p->key_env : given ? d->key_env : "OPENAI_API_KEY", *file = own ? p->key_file : d->key_file;
    if (read_key(t, env, file, given, e) < 0 || set_url(t, base, e) < 0) return -1;
    if (price(p->price_in, d->price_in, &t->price_in, e) < 0 || price(p->price_out, d->price_out, &t->price_out, e) < 0)
        return err_prefix(e, "--teacher %s: ", t->spec);
    t->pace = (struct pace){.requests = d->requests, .tokens = d->tokens};
    struct buf b = BUF_INIT;
    buf_addf(&b, "openai %s", p->id ? p->id : t->url);
    t->identity = buf_detach(&b);
    return 0;
}

static void parts_release(struct parts *p) {
    free(p->base_url);
    free(p->key_env);
    free(p->key_file);
    free(p->price_in);
    free(p->price_out);
    free(p->id);
    free(p->adapter);
}

int teacher_parse(struct teacher *t, const char *spec, const struct teacher_defaults *d, struct err *e) {
    struct parts p = {0};
    *t = (struct teacher){.spec = xstrdup(spec)};
    const char *colon = strchr(spec, ':');
    t->is_local = !strncmp(spec, "local:", 6);
    if (!t->is_local && strncmp(spec, "openai:", 7)) return err_set(e, RC_USAGE, "--teacher %s: expected openai:NAME or local:MODEL", spec);
    int rc = split(t, &p, colon + 1, e);
    if (!rc && !t->is_local) rc = finish_served(t, &p, d, e);
    if (!rc && p.adapter) t->adapter = xstrdup(p.adapter);
    parts_release(&p);
    return rc;
}

void teacher_release(struct teacher *t) {
    local_free(t->local);
    free(t->spec);
    free(t->name);
    free(t->url);
    if (t->key) explicit_bzero(t->key, strlen(t->key));
    if (t->authorization) explicit_bzero(t->authorization, strlen(t->authorization));
    free(t->key);
    free(t->authorization);
    free(t->adapter);
    free(t->identity);
    *t = (struct teacher){0};
}
