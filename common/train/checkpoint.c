/* Checkpoints of a training: see checkpoint.h. */
#include "common/train/checkpoint.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/safetensors.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
static const char adapter_file[] = "adapter_model.safetensors", moments_file[] = "optimizer.safetensors", state_file[] = "state.json";

char *checkpoint_path(const char *dir, int64_t step) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "%s/checkpoints/step-%lld", dir, (long long)step);
    return buf_detach(&b);
}

int lora_hash(const struct lora *a, char hex[SHA256_HEX], struct err *e) {
    float *p = xcalloc((size_t)a->n, sizeof *p);
    int rc = lora_download(a, p, e);
    if (!rc) sha256_hex(p, (size_t)a->n * sizeof *p, hex);
    free(p);
    return rc;
}

/* ---- writing ---- */
static int fetch(struct dev *d, float *host, const float *dev, size_t bytes, struct err *e) {
    if (dev_err(d, d->download(d->ctx, host, dev, bytes), e, "moments", bytes) < 0) return -1;
    return dev_err(d, d->sync(d->ctx), e, "moments", bytes);
}

static int write_moments(const char *path, const struct training_tensors *t, struct err *e) {
    size_t bytes = (size_t)t->a->n * sizeof(float);
    float *m = xcalloc((size_t)t->a->n, sizeof *m), *v = xcalloc((size_t)t->a->n, sizeof *v);
    const char *const meta[] = {"format", "pt", NULL};
    const struct tensor tensors[] = {
        {.name = "exp_avg", .type = DT_F32, .dims = 1, .shape = {t->a->n}, .data = m, .bytes = bytes},
        {.name = "exp_avg_sq", .type = DT_F32, .dims = 1, .shape = {t->a->n}, .data = v, .bytes = bytes},
    };
    int rc = fetch(t->a->d, m, t->exp_avg, bytes, e);
    if (!rc) rc = fetch(t->a->d, v, t->exp_avg_sq, bytes, e);
    if (!rc) rc = safetensors_write(path, tensors, 2, meta, e);
    free(m);
    free(v);
    return rc;
}

static void put_loss_scale(struct buf *b, const struct loss_scale *s) {
    buf_adds(b, ",\"loss_scale\":");
    json_put_number(b, s->scale);
    buf_addf(b, ",\"loss_scale_updates\":%lld,\"skipped_steps\":%lld,\"skipped_in_a_row\":%lld", (long long)s->updates, (long long)s->skipped, (long long)s->in_a_row);
}

static void put_state(struct buf *b, const struct progress_state *s, const char *identity, char hash[2][SHA256_HEX]) {
    buf_addf(b, "{\"format\":%d,\"step\":%lld,\"tokens\":%lld,\"window_loss\":", FORMAT, (long long)s->step, (long long)s->tokens);
    json_put_number(b, s->window_loss);
    buf_addf(b, ",\"window_steps\":%lld,\"best_step\":%lld,\"best_loss\":", (long long)s->window_steps, (long long)s->best_step);
    json_put_number(b, s->best_loss);
    buf_addf(b, ",\"waited\":%lld", (long long)s->waited);
    if (s->loss_scale.scale > 0) put_loss_scale(b, &s->loss_scale);
    buf_addf(b, ",\"adapter_sha256\":\"%s\",\"optimizer_sha256\":\"%s\",\"identity\":%s}\n", hash[0], hash[1], identity);
}

static int fill(const char *tmp, const struct training_tensors *t, const struct progress_state *s, const char *identity, const char *base_name, struct err *e) {
    char *adapter = io_join(tmp, adapter_file), *moments = io_join(tmp, moments_file), *state = io_join(tmp, state_file);
    char hash[2][SHA256_HEX];
    struct buf b = BUF_INIT;
    int rc = lora_write(t->a, tmp, base_name, e);
    if (!rc) rc = write_moments(moments, t, e);
    if (!rc) rc = sha256_file(adapter, hash[0], e);
    if (!rc) rc = sha256_file(moments, hash[1], e);
    if (!rc) {
        put_state(&b, s, identity, hash);
        rc = io_write_file(state, b.p, b.n, e);
    }
    buf_release(&b);
    free(adapter);
    free(moments);
    free(state);
    return rc;
}

int checkpoint_write(const char *dir, const struct training_tensors *t, const struct progress_state *s, const char *identity, const char *base_name, struct err *e) {
    char *path = checkpoint_path(dir, s->step), *tmp = io_tmpdir(path, e);
    int rc = tmp ? fill(tmp, t, s, identity, base_name, e) : -1;
    if (!rc) {
        rc = io_commit_dir(tmp, path, e);
    } else if (tmp) {
        struct err ignored;
        io_remove_tree(tmp, &ignored); /* stays registered until exit: harmless once gone */
    }
    free(path);
    return rc < 0 ? err_prefix(e, "checkpoint of step %lld: ", (long long)s->step) : 0;
}

/* ---- the directory ---- */
/* N of "step-N" and nothing else, or -1. */
static int64_t step_of(const char *name) {
    int64_t n = 0;
    if (strncmp(name, "step-", 5) || !name[5] || name[5] == '0' || strlen(name) > 5 + 15) return -1;
    for (const char *s = name + 5; *s; s++) {
        if (*s < '0' || *s > '9') return -1;
        n = n * 10 + (*s - '0');
    }
    return n;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int checkpoint_list(const char *dir, int64_t **steps, int *n, struct err *e) {
    size_t cap = 0;
    char *path = io_join(dir, "checkpoints");
    *steps = NULL;
    *n = 0;
    DIR *d = opendir(path);
    int rc = d || errno == ENOENT ? 0 : err_sys(e, "cannot read directory %s", path);
    for (struct dirent *x; d && (x = readdir(d));) {
        int64_t step = step_of(x->d_name);
        if (step < 0) continue;
        GROW(*steps, *n, cap);
        (*steps)[(*n)++] = step;
    }
    if (*n) qsort(*steps, (size_t)*n, sizeof **steps, ascending);
    if (d) closedir(d);
    free(path);
    return rc;
}

/* Removes from `path` what begins with `name` and is a temporary. */
static int clean_in(const char *path, const char *name, struct err *e) {
    int rc = 0;
    DIR *d = opendir(path);
    if (!d) return errno == ENOENT ? 0 : err_sys(e, "cannot read directory %s", path);
    for (struct dirent *x; !rc && (x = readdir(d));) {
        if (strncmp(x->d_name, name, strlen(name)) || !strstr(x->d_name, ".tmp.")) continue;
        char *p = io_join(path, x->d_name);
        rc = io_remove_tree(p, e);
        free(p);
    }
    closedir(d);
    return rc;
}

int checkpoint_clean(const char *dir, struct err *e) {
    char *path = io_join(dir, "checkpoints");
    int rc = clean_in(path, "step-", e);
    if (!rc) rc = clean_in(dir, "metrics.jsonl.", e);
    if (!rc) rc = clean_in(dir, "adapter.", e);
    free(path);
    return rc;
}

int checkpoint_prune(const char *dir, int64_t limit, int64_t best_step, struct err *e) {
    int64_t *steps;
    int n, rc = 0;
    if (checkpoint_list(dir, &steps, &n, e) < 0) return -1;
    for (int i = 0; i < n - limit && !rc; i++) {
        if (steps[i] == best_step) continue;
        char *p = checkpoint_path(dir, steps[i]);
        rc = io_remove_tree(p, e);
        free(p);
    }
    free(steps);
    return rc;
}

/* ---- reading ---- */
static int get_int(const struct json *o, const char *key, int64_t *out, struct err *e) {
    const struct json *v = json_get(o, key);
    return v && json_int(v, out) && *out >= 0 ? 0 : err_set(e, RC_INPUT, "state.json: %s is missing or not a whole number", key);
}

static int get_real(const struct json *o, const char *key, double *out, struct err *e) {
    const struct json *v = json_get(o, key);
    if (!v || v->type != JSON_NUMBER) return err_set(e, RC_INPUT, "state.json: %s is missing or not a number", key);
    *out = v->number;
    return 0;
}

/* Where gradients were scaled, which the identity tells */
static int read_loss_scale(const struct json *o, struct loss_scale *s, struct err *e) {
    *s = (struct loss_scale){0};
    if (!json_get(json_get(o, "identity"), "activations")) return 0;
    if (get_real(o, "loss_scale", &s->scale, e) < 0 || get_int(o, "loss_scale_updates", &s->updates, e) < 0 || get_int(o, "skipped_steps", &s->skipped, e) < 0) return -1;
    if (!(s->scale >= 1)) return err_set(e, RC_INPUT, "state.json: loss_scale is %g, expected 1 or more", s->scale);
    return get_int(o, "skipped_in_a_row", &s->in_a_row, e);
}

static int read_state(const struct json *o, struct progress_state *s, struct err *e) {
    int64_t format;
    if (get_int(o, "format", &format, e) < 0) return -1;
    if (format != FORMAT) return err_set(e, RC_INPUT, "state.json: format %lld, expected %d", (long long)format, FORMAT);
    if (get_int(o, "step", &s->step, e) < 0 || get_int(o, "tokens", &s->tokens, e) < 0 || get_int(o, "window_steps", &s->window_steps, e) < 0 ||
        get_int(o, "best_step", &s->best_step, e) < 0 || get_int(o, "waited", &s->waited, e) < 0)
        return -1;
    return get_real(o, "window_loss", &s->window_loss, e) < 0 || get_real(o, "best_loss", &s->best_loss, e) < 0 ? -1 : read_loss_scale(o, &s->loss_scale, e);
}

static int check_file(const char *path, const char *name, const struct json *hash, struct err *e) {
    char *p = io_join(path, name), hex[SHA256_HEX];
    int rc = sha256_file(p, hex, e);
    if (!rc && !json_is_str(hash, hex)) rc = err_set(e, RC_INPUT, "%s is damaged", p);
    free(p);
    return rc;
}

/* A member that this run's identity has not. */
static int only_there(const struct json *there, const struct json *here, struct err *e) {
    for (const struct json *x = there->first; x; x = x->next)
        if (!json_get(here, x->key))
            return err_set(e, RC_INPUT, "cannot resume: %s is %.*s in the checkpoint and not set now; repeat the first run's, or begin anew with --overwrite", x->key, (int)(x->raw_len < 80 ? x->raw_len : 80), x->raw);
    return 0;
}

/* The saved identity against this run's: the first member that differs is named. */
static int same_identity(const struct json *there, const struct json *here, struct err *e) {
    for (const struct json *x = here->first; x; x = x->next) {
        const struct json *y = json_get(there, x->key);
        if (y && json_equal(x, y)) continue;
        return err_set(e, RC_INPUT, "cannot resume: %s is %.*s in the checkpoint and %.*s now; repeat the first run's, or begin anew with --overwrite", x->key,
            y ? (int)(y->raw_len < 80 ? y->raw_len : 80) : 7, y ? y->raw : "not set", (int)(x->raw_len < 80 ? x->raw_len : 80), x->raw);
    }
    return only_there(there, here, e);
}

static int load_moments(const char *path, struct training_tensors *t, struct err *e) {
    char *p = io_join(path, moments_file);
    struct safetensors *st = safetensors_open(p, e);
    struct dev *d = t->a->d;
    size_t bytes = (size_t)t->a->n * sizeof(float);
    int rc = st ? 0 : -1;
    const struct { const char *name; float *to; } parts[] = {{"exp_avg", t->exp_avg}, {"exp_avg_sq", t->exp_avg_sq}};
    for (int i = 0; i < 2 && !rc; i++) {
        const struct tensor *x = safetensors_get(st, parts[i].name);
        if (!x || x->type != DT_F32 || x->bytes != bytes)
            rc = err_set(e, RC_INPUT, "%s: %s is missing or has another shape", p, parts[i].name);
        else
            rc = dev_err(d, d->upload(d->ctx, parts[i].to, x->data, bytes), e, "moments", bytes);
    }
    if (!rc) rc = dev_err(d, d->sync(d->ctx), e, "moments", bytes);
    safetensors_close(st);
    free(p);
    return rc;
}

static int load_adapter(const char *path, struct training_tensors *t, struct err *e) {
    struct lora *a = lora_read(t->m, path, true, e); /* the base is part of the identity, checked before */
    struct dev *d = t->a->d;
    size_t bytes = (size_t)t->a->n * sizeof(float);
    if (!a) return -1;
    int rc = a->n == t->a->n ? 0 : err_set(e, RC_INPUT, "%s: the adapter has %lld parameters, expected %lld", path, (long long)a->n, (long long)t->a->n);
    if (!rc) rc = dev_err(d, d->copy(d->ctx, t->a->p, a->p, bytes), e, "adapter", bytes);
    if (!rc) rc = dev_err(d, d->sync(d->ctx), e, "adapter", bytes);
    lora_free(a);
    return rc;
}

enum { OTHER = -2 };
/* 0 loaded, -1 damaged, OTHER of another training. */
static int try_load(const char *path, struct training_tensors *t, struct progress_state *s, const struct json *identity, struct err *e) {
    char *state = io_join(path, state_file);
    struct json_doc *doc = json_read_file(state, e);
    free(state);
    if (!doc) return -1;
    struct json *o = json_root(doc), *there = json_get(o, "identity");
    int rc = -1;
    if (!there || there->type != JSON_OBJECT)
        err_set(e, RC_INPUT, "state.json: identity is missing");
    else if (!read_state(o, s, e) && !check_file(path, adapter_file, json_get(o, "adapter_sha256"), e) &&
             !check_file(path, moments_file, json_get(o, "optimizer_sha256"), e))
        rc = same_identity(there, identity, e) < 0 ? OTHER : 0;
    if (!rc && (load_adapter(path, t, e) < 0 || load_moments(path, t, e) < 0)) rc = -1;
    json_doc_free(doc);
    return rc;
}

/* Forgets the checkpoints of another training. */
static int begin_anew(const char *dir, struct buf *remarks, struct err *e) {
    char *all = io_join(dir, "checkpoints");
    buf_addf(remarks, "%s: beginning anew\n", e->msg);
    int rc = io_remove_tree(all, e);
    free(all);
    return rc;
}

int checkpoint_resume(const char *dir, struct training_tensors *t, struct progress_state *s, const char *identity, bool or_anew, struct buf *remarks, struct err *e) {
    int64_t *steps;
    int n, rc = -1;
    struct json_doc *here = json_parse(identity, strlen(identity), e);
    if (!here) BUG("identity is not JSON: %s", e->msg);
    if (checkpoint_list(dir, &steps, &n, e) < 0) {
        json_doc_free(here);
        return -1;
    }
    while (n > 0 && rc == -1) {
        char *path = checkpoint_path(dir, steps[--n]);
        rc = try_load(path, t, s, json_root(here), e);
        if (rc == -1) buf_addf(remarks, "%s is passed over: %s\n", path, e->msg);
        free(path);
    }
    free(steps);
    json_doc_free(here);
    if (rc == OTHER) return or_anew ? begin_anew(dir, remarks, e) : -1;
    return rc == 0;
}

int checkpoint_adapter(const char *dir, int64_t step, struct training_tensors *t, struct err *e) {
    char *path = checkpoint_path(dir, step);
    int rc = load_adapter(path, t, e);
    free(path);
    return rc;
}
