/* POST requests over libcurl multi: see http.h. */
#include "common/io/http.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct transfer {
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    struct http_reply *reply;
    size_t limit;
    struct transfer *prev, *next; /* of those that run */
};

struct http {
    CURLM *multi;
    struct http_options o;
    struct transfer *running;
    int active;
    struct http_reply **ended; /* first in, first out: [head, n_ended) */
    size_t head, n_ended, cap;
};

static int bad_url(const char *url, struct err *e, const char *why) {
    return err_set(e, RC_USAGE, "%s: %s, expected http://HOST… or https://HOST…", url, why);
}

int http_check_url(const char *url, int *loopback, struct err *e) {
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    int rc = 0;
    if (!u) return err_set(e, RC_IO, "out of memory");
    if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(u, CURLUPART_HOST, &host, 0))
        rc = bad_url(url, e, "not a URL");
    else if (strcasecmp(scheme, "http") && strcasecmp(scheme, "https"))
        rc = bad_url(url, e, "another scheme");
    else if (!curl_url_get(u, CURLUPART_USER, &user, 0))
        rc = err_set(e, RC_USAGE, "the base URL holds a user name: give the key by --key-env or --key-file");
    if (!rc && loopback) *loopback = !strcasecmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "[::1]");
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(u);
    return rc;
}

struct http *http_new(const struct http_options *o, struct err *e) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) return err_set(e, RC_IO, "libcurl cannot be initialised"), NULL;
    struct http *h = xcalloc(1, sizeof *h);
    h->o = *o;
    h->multi = curl_multi_init();
    if (!h->multi) {
        free(h);
        return err_set(e, RC_IO, "libcurl cannot be initialised"), NULL;
    }
    curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)o->connections);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)o->connections);
    return h;
}

void http_reply_free(struct http_reply *r) {
    if (!r) return;
    buf_release(&r->body);
    free(r);
}

static void transfer_free(struct http *h, struct transfer *t) {
    if (t->prev) t->prev->next = t->next;
    else h->running = t->next;
    if (t->next) t->next->prev = t->prev;
    curl_multi_remove_handle(h->multi, t->easy);
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    free(t->body);
    http_reply_free(t->reply);
    free(t);
    h->active--;
}

void http_free(struct http *h) {
    if (!h) return;
    while (h->running) transfer_free(h, h->running);
    curl_multi_cleanup(h->multi);
    for (size_t i = h->head; i < h->n_ended; i++) http_reply_free(h->ended[i]);
    free(h->ended);
    free(h);
    curl_global_cleanup();
}

static size_t on_data(char *p, size_t size, size_t n, void *arg) {
    struct transfer *t = arg;
    if (n > (t->limit - t->reply->body.n) / size) {
        t->reply->end = HTTP_TOO_LARGE;
        return 0; /* breaks the transfer off */
    }
    buf_add(&t->reply->body, p, size * n);
    return size * n;
}

static void configure(struct http *h, struct transfer *t, const char *url, size_t n) {
    CURL *c = t->easy;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 0L); /* so that libcurl ignores SIGPIPE while it works: TLS writes would raise it */
    curl_easy_setopt(c, CURLOPT_POST, 1L);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, t->body);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(h->o.timeout * 1e3));
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(h->o.connect_timeout * 1e3));
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    if (h->o.ca) curl_easy_setopt(c, CURLOPT_CAINFO, h->o.ca);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "coador/" COADOR_VERSION);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_PRIVATE, t);
}

int http_post(struct http *h, uint64_t number, const char *url, const char *const *headers, int n_headers, const char *body, size_t n, struct err *e) {
    struct transfer *t = xcalloc(1, sizeof *t);
    t->reply = xcalloc(1, sizeof *t->reply);
    t->reply->number = number;
    t->limit = h->o.max_body;
    t->body = xmemdup0(body, n);
    t->headers = curl_slist_append(NULL, "Expect:");
    for (int i = 0; i < n_headers && t->headers; i++) {
        struct curl_slist *longer = curl_slist_append(t->headers, headers[i]);
        if (!longer) curl_slist_free_all(t->headers);
        t->headers = longer;
    }
    t->easy = curl_easy_init();
    t->next = h->running;
    if (h->running) h->running->prev = t;
    h->running = t;
    h->active++;
    if (!t->easy || !t->headers) {
        transfer_free(h, t);
        return err_set(e, RC_IO, "out of memory for a request");
    }
    configure(h, t, url, n);
    CURLMcode rc = curl_multi_add_handle(h->multi, t->easy);
    if (!rc) return 0;
    transfer_free(h, t);
    return err_set(e, RC_IO, "cannot start a request: %s", curl_multi_strerror(rc));
}

static enum http_end end_of(const struct transfer *t, CURLcode code) {
    switch (code) {
    case CURLE_OK: return HTTP_REPLY;
    case CURLE_OPERATION_TIMEDOUT: return HTTP_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR: return HTTP_CERTIFICATE;
    default: return t->reply->end == HTTP_TOO_LARGE ? HTTP_TOO_LARGE : HTTP_BROKEN;
    }
}

static void finish(struct http *h, struct transfer *t, CURLcode code) {
    struct http_reply *r = t->reply;
    curl_off_t wait = 0;
    r->end = end_of(t, code);
    if (r->end == HTTP_TOO_LARGE)
        snprintf(r->why, sizeof r->why, "the reply is larger than %zu bytes", t->limit);
    else if (code)
        snprintf(r->why, sizeof r->why, "%s", curl_easy_strerror(code));
    if (!code) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &r->status);
    if (!code && !curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait) && wait > 0) r->retry_after = (double)wait;
    buf_add(&r->body, "", 0);
    if (h->head == h->n_ended) h->head = h->n_ended = 0;
    GROW(h->ended, h->n_ended, h->cap);
    h->ended[h->n_ended++] = r;
    t->reply = NULL;
    transfer_free(h, t);
}

static int drive(struct http *h, struct err *e) {
    int running, left;
    CURLMcode rc = curl_multi_perform(h->multi, &running);
    if (rc) return err_set(e, RC_IO, "libcurl: %s", curl_multi_strerror(rc));
    for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left));) {
        struct transfer *t = NULL;
        if (m->msg != CURLMSG_DONE) continue;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        finish(h, t, code);
    }
    return 0;
}

int http_run(struct http *h, double seconds, struct err *e) {
    if (drive(h, e) < 0) return -1;
    if (h->head < h->n_ended || !(seconds > 0)) return 0;
    CURLMcode rc = curl_multi_poll(h->multi, NULL, 0, (int)(seconds * 1e3) + 1, NULL);
    if (rc) return err_set(e, RC_IO, "libcurl: %s", curl_multi_strerror(rc));
    return drive(h, e);
}

void http_wake(struct http *h) { curl_multi_wakeup(h->multi); }

struct http_reply *http_take(struct http *h) { return h->head < h->n_ended ? h->ended[h->head++] : NULL; }

int http_active(const struct http *h) { return h->active; }
