/* Replies of servers: answers, failures worth another try, failures that are final, and those that end the run. */
#include "common/io/progress.h"
#include "common/io/xxh64.h"
#include "common/label/ask_impl.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_RETRY_AFTER 3600 /* seconds: a server that asks for more is not waited for */
#define USELESS 3                /* questions without an answer, from the first on, end the run */
#define REFUSED 3                /* tries of a question that a 5xx about the response format ends */

const char *const fault_names[FAULTS] = {"connection", "timeout", "too large", "busy (429)", "server (5xx)", "refused", "malformed", "unfit"};

void ask_fail(struct ask *q, const char *fmt, ...) {
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text[utf8_valid(text, strlen(text))] = 0; /* a message cut inside a character */
    free(q->error);
    q->error = xstrdup(text);
    q->end = ASK_FAILED;
}

static int retry(struct asker *a, struct ask *q, const struct http_reply *r, const char *why, struct err *e) {
    uint64_t key[3] = {xxh64(q->key, sizeof q->key), (uint64_t)q->tries, (uint64_t)getpid()};
    struct teacher *t = &a->teachers[q->teacher];
    bool useless = r->end == HTTP_REPLY ? r->status >= 500 : r->end != HTTP_TOO_LARGE;
    if (++q->tries <= a->o.retries && r->retry_after <= LONGEST_RETRY_AFTER) {
        q->until = now_seconds() + backoff(a->o.backoff, a->o.longest_backoff, q->tries, r->retry_after, xxh64(key, sizeof key));
        return 0;
    }
    if (useless && !t->replied && ++t->failed >= USELESS)
        return err_set(e, RC_IO, "%s: %s, %d questions in a row%s", t->url, why, USELESS,
                       r->end == HTTP_REPLY && a->o.params.format != FORMAT_NONE ? "; does it take another --response-format?" : "");
    if (r->retry_after > LONGEST_RETRY_AFTER)
        ask_fail(q, "%s: %s; the server asks to wait %.0f s", t->spec, why, r->retry_after);
    else
        ask_fail(q, "%s: %s, %d tries", t->spec, why, q->tries);
    return 2;
}

/* Whether a refusal speaks of the response format: then every request would be refused. An error of the server's own passes for
   one (llama-cpp-python: 500 for a request that does not validate) if it names the format, the server has answered nothing
   so far, and the same question has met it REFUSED times or on its last try: what passes with time is none. */
static bool about_format(const struct asker *a, const struct ask *q, long status, const char *text) {
    static const char *const words[] = {"response_format", "json_schema", "json_object", "response format", "grammar", "schema"};
    bool own = status >= 500, last = q->tries + 1 >= REFUSED || q->tries >= a->o.retries;
    if (own ? a->teachers[q->teacher].replied || !last : status != 400 && status != 415 && status != 422) return false;
    for (size_t i = 0; a->o.params.format != FORMAT_NONE && i < (own ? 4 : sizeof words / sizeof *words); i++)
        if (strcasestr(text, words[i])) return true;
    return false;
}

static int judge_status(struct asker *a, struct ask *q, struct http_reply *r, struct err *e) {
    const struct teacher *t = &a->teachers[q->teacher];
    char text[300], code[300], why[400];
    long s = r->status;
    openai_refusal(r->body.p, r->body.n, text, code, sizeof text);
    snprintf(why, sizeof why, "status %ld%s%s", s, *text ? ": " : "", text);
    enum fault f = s == 429 ? FAULT_BUSY : s >= 500 ? FAULT_SERVER : FAULT_REFUSED;
    a->counts.faults[f]++;
    if (s == 401 || s == 402 || s == 403 || s == 404 || (s >= 300 && s < 400) || !strcmp(code, "insufficient_quota"))
        return err_set(e, RC_IO, "%s: %s: %s", t->spec, t->url, why);
    if (about_format(a, q, s, text))
        return err_set(e, RC_IO, "%s refuses --response-format %s: %s; it may take %s", t->spec, response_formats[a->o.params.format], why,
                       a->o.params.format == FORMAT_JSON_SCHEMA ? "--response-format json_object" : "--response-format none");
    if (s == 408 || s == 409 || s == 425 || s == 429 || s >= 500) return retry(a, q, r, why, e);
    ask_fail(q, "%s: %s", t->spec, why);
    return 2;
}

int ask_judge(struct asker *a, struct ask *q, struct http_reply *r, struct err *e) {
    static const enum fault faults[] = {FAULT_MALFORMED, FAULT_TIMEOUT, FAULT_TOO_LARGE, FAULT_CONNECTION, FAULT_CONNECTION};
    struct teacher *t = &a->teachers[q->teacher];
    struct err why = ERR_INIT;
    teacher_hide_key(t, r->body.p, r->body.n);
    t->replied |= r->end == HTTP_REPLY && r->status == 200;
    if (r->end == HTTP_REPLY && r->status != 200) return judge_status(a, q, r, e);
    buf_clear(&q->raw);
    if (r->end == HTTP_REPLY && openai_answer(r->body.p, r->body.n, &q->raw, &why) == 0) return 1;
    a->counts.faults[faults[r->end]]++;
    if (r->end == HTTP_CERTIFICATE) return err_set(e, RC_IO, "%s: %s", t->url, r->why);
    return retry(a, q, r, r->end == HTTP_REPLY ? why.msg : r->why, e);
}
