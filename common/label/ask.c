/* The asker's rounds, and what becomes of answers: see ask.h. */
#include "common/io/progress.h"
#include "common/label/ask_impl.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

void ask_release(struct ask *q) {
    buf_release(&q->value);
    buf_release(&q->body);
    buf_release(&q->raw);
    ids_release(&q->ids);
    free(q->error);
    *q = (struct ask){0};
}

/* ---- setting up ---- */
static void wake(void *http) {
    if (http) http_wake(http);
}

struct asker *asker_new(struct teacher *teachers, int n, const struct asker_options *o, struct err *e) {
    struct asker *a = xcalloc(1, sizeof *a);
    a->teachers = teachers;
    a->n = n;
    a->o = *o;
    a->queue_end = &a->queue;
    a->blocked = xcalloc((size_t)n, sizeof *a->blocked);
    bool served = false;
    for (int i = 0; i < n; i++) served |= !teachers[i].is_local;
    if (served && !o->export && !o->offline && !(a->http = http_new(&o->http, e))) return asker_free(a, NULL), NULL;
    a->cache = cache_open(o->cache, wake, a->http, e);
    return a->cache ? a : (asker_free(a, NULL), NULL);
}

struct cache *asker_cache(struct asker *a) { return a->cache; }

int asker_free(struct asker *a, struct err *e) {
    if (!a) return 0;
    int rc = cache_close(a->cache, e);
    http_free(a->http);
    free(a->live);
    free(a->blocked);
    buf_release(&a->scratch);
    intern_release(&a->exported);
    free(a);
    return rc;
}

const struct asker_counts *asker_counts(const struct asker *a) { return &a->counts; }
bool asker_idle(const struct asker *a) { return !a->queue && !a->n_live; }

/* ---- answers ---- */
static void count(struct asker *a, struct ask *q, int64_t in, int64_t out, bool cached) {
    struct teacher *t = &a->teachers[q->teacher];
    struct asker_counts *c = &a->counts;
    double cost = ((double)(in > 0 ? in : 0) * t->price_in + (double)(out > 0 ? out : 0) * t->price_out) / 1e6;
    if (cached)
        c->cached++;
    else
        c->asked++, c->cost_new += cost;
    c->unknown_tokens += in < 0 || out < 0;
    c->tokens_in += in > 0 ? in : 0;
    c->tokens_out += out > 0 ? out : 0;
    c->cost += cost;
    q->tokens_in += in > 0 ? in : 0;
    q->tokens_out += out > 0 ? out : 0;
    if (in < 0 || out < 0) return;
    t->answers++;
    t->mean_tokens += ((double)(in + out) - t->mean_tokens) / (double)t->answers;
    t->mean_cost += (cost - t->mean_cost) / (double)t->answers;
    if (!cached) pace_correct(&t->pace, (double)(in + out) - q->guessed);
}

int ask_deliver(struct asker *a, struct ask *q, const char *raw, size_t n, bool cached, struct err *e) {
    struct err why = ERR_INIT;
    struct json_doc *d = json_parse(raw, n, e);
    if (!d) return err_prefix(e, "the cache holds an answer that is no JSON: ");
    const struct json *text = json_get(json_root(d), "text"), *finish = json_get(json_root(d), "finish");
    const struct json *in = json_get(json_root(d), "prompt_tokens"), *out = json_get(json_root(d), "completion_tokens");
    int64_t n_in = -1, n_out = -1;
    int rc = text && text->type == JSON_STRING && finish ? 0 : err_set(e, RC_INPUT, "the cache holds an answer without text or finish");
    if (in) json_int(in, &n_in);
    if (out) json_int(out, &n_out);
    if (!rc && a->o.budget > 0 && !a->teachers[q->teacher].is_local && (n_in < 0 || n_out < 0))
        rc = err_set(e, RC_IO, "%s does not tell the tokens of its answers: --budget cannot be kept", a->teachers[q->teacher].spec);
    if (!rc) {
        count(a, q, n_in, n_out, cached);
        int fits = json_is_str(finish, "refusal") ? err_set(&why, RC_INPUT, "the teacher refuses: %.200s", text->str)
                                                  : a->o.fits(a->o.arg, text->str, text->len, json_is_str(finish, "length"), &q->value, &why);
        if (!fits) {
            q->end = ASK_ANSWERED;
        } else {
            a->counts.faults[FAULT_UNFIT]++;
            q->tries = 0;
            ask_fail(q, "%s: %s", a->teachers[q->teacher].spec, why.msg);
            if (q->attempt < a->o.reasks) {
                q->attempt++;
                ask_again(a, q);
            }
        }
    }
    json_doc_free(d);
    return rc;
}

static void leave(struct asker *a, struct ask *q) {
    int i = 0;
    while (a->live[i] != q) i++;
    a->live[i] = a->live[--a->n_live];
    if (!a->teachers[q->teacher].is_local) a->n_served--;
}

static void save(struct asker *a, struct ask *q) {
    q->state = ASK_SAVING;
    q->saved_as = cache_add(a->cache, q->key, q->raw.p, q->raw.n);
}

/* Answers that are on disk now leave their slots. */
static int take_saved(struct asker *a, struct err *e) {
    uint64_t saved;
    if (cache_saved(a->cache, &saved, e) < 0) return -1;
    for (int i = 0; i < a->n_live;) {
        struct ask *q = a->live[i];
        if (q->state != ASK_SAVING || q->saved_as > saved) {
            i++;
            continue;
        }
        leave(a, q);
        if (ask_deliver(a, q, q->raw.p, q->raw.n, false, e) < 0) return -1;
    }
    return 0;
}

/* ---- rounds ---- */
static int retry_due(struct asker *a, struct err *e) {
    double now = now_seconds();
    for (int i = 0; i < a->n_live; i++) {
        struct ask *q = a->live[i];
        if (q->state != ASK_BACKING_OFF || q->until > now || pace_wait(&a->teachers[q->teacher].pace, now) > 0) continue;
        if (ask_fly(a, q, e) < 0) return -1;
    }
    return 0;
}

/* ---- what comes back ---- */
static struct ask *flying(struct asker *a, uint64_t number, int teacher) {
    for (int i = 0; i < a->n_live; i++) {
        struct ask *q = a->live[i];
        if (q->state == ASK_FLYING && q->number == number && (teacher < 0 ? !a->teachers[q->teacher].is_local : q->teacher == teacher)) return q;
    }
    BUG("an answer that nobody asked for");
}

static int take_replies(struct asker *a, struct err *e) {
    for (struct http_reply *r; a->http && (r = http_take(a->http));) {
        struct ask *q = flying(a, r->number, -1);
        int rc = ask_judge(a, q, r, e);
        http_reply_free(r);
        if (rc < 0) return -1;
        if (rc == 1) save(a, q);
        if (rc == 0) q->state = ASK_BACKING_OFF;
        if (rc == 2) leave(a, q);
    }
    return 0;
}

static int run_local(struct asker *a, bool *active, struct err *e) {
    uint64_t number;
    const char *why;
    for (int i = 0; i < a->n; i++) {
        struct local *l = a->teachers[i].local;
        if (!l || !local_active(l)) continue;
        if (local_step(l, e) < 0) return -1;
        buf_clear(&a->scratch);
        while (local_take(l, &number, &a->scratch, &why)) {
            struct ask *q = flying(a, number, i);
            if (!why) {
                buf_clear(&q->raw);
                buf_add(&q->raw, a->scratch.p, a->scratch.n);
                save(a, q);
            } else {
                ask_fail(q, "%s: %s", a->teachers[i].spec, why);
                leave(a, q);
            }
        }
        *active |= local_active(l) > 0;
    }
    return 0;
}

/* Until the next retry or the next start that the pace allows. */
static double next_due(const struct asker *a, double patience) {
    double now = now_seconds();
    for (int i = 0; i < a->n_live; i++)
        if (a->live[i]->state == ASK_BACKING_OFF && a->live[i]->until - now < patience) patience = a->live[i]->until - now;
    for (int i = 0; i < a->n; i++) {
        double wait = pace_wait(&a->teachers[i].pace, now);
        if (wait > 0 && wait < patience) patience = wait;
    }
    return patience > 1e-3 ? patience : 1e-3;
}

int asker_run(struct asker *a, double patience, struct err *e) {
    bool local_goes_on = false;
    if (ask_start_queued(a, e) < 0 || retry_due(a, e) < 0 || run_local(a, &local_goes_on, e) < 0) return -1;
    if (local_goes_on || asker_idle(a)) patience = 0;
    if (a->http && http_run(a->http, patience > 0 ? next_due(a, patience) : 0, e) < 0) return -1;
    if (!a->http && patience > 0) poll(NULL, 0, 1); /* local answers on their way to the disk */
    if (take_replies(a, e) < 0) return -1;
    return take_saved(a, e);
}
