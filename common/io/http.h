/* HTTP POST requests, many at once, over libcurl's multi interface: the only place in coador that opens a socket.
   One thread drives all transfers (http_run). Certificates are verified, redirects are not followed (they would carry the
   caller's headers elsewhere), a body larger than the limit breaks the transfer off, and every transfer ends: in a
   whole reply, or in a failure with its kind. Proxies as libcurl takes them from the environment. */
#ifndef COADOR_HTTP_H
#define COADOR_HTTP_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include <stdint.h>

struct http;
struct http_options {
    double timeout, connect_timeout; /* seconds for a whole transfer, for its connection */
    size_t max_body;                 /* bytes of a reply */
    int connections;                 /* at once */
    const char *ca;                  /* PEM file of authorities instead of the system's, or NULL; borrowed */
};
enum http_end {
    HTTP_REPLY,     /* a whole reply, whatever its status */
    HTTP_TIMEOUT,   /* the time was up */
    HTTP_TOO_LARGE, /* more than max_body */
    HTTP_CERTIFICATE, /* TLS: the server is not who it says it is, or speaks no TLS */
    HTTP_BROKEN     /* no connection, or one that broke */
};
struct http_reply {
    uint64_t number;    /* as started */
    enum http_end end;
    long status;        /* HTTP_REPLY: 200, 429, … */
    double retry_after; /* seconds that the server asks to wait (Retry-After, either form), 0: it does not */
    struct buf body;    /* NUL-terminated */
    char why[200];      /* unless HTTP_REPLY: what went wrong */
};

/* Checks that url is http or https with a host. RC_USAGE. *loopback (may be NULL): the host is this machine by its name. */
int http_check_url(const char *url, int *loopback, struct err *e);
struct http *http_new(const struct http_options *o, struct err *e); /* give: http_free */
void http_free(struct http *h); /* breaks off what runs */
/* Starts a POST. headers: n lines "Name: value"; everything is copied. */
int http_post(struct http *h, uint64_t number, const char *url, const char *const *headers, int n_headers, const char *body, size_t n, struct err *e);
/* Moves data until something ended, http_wake was called, or `seconds` passed (0: only what can be done at once). */
int http_run(struct http *h, double seconds, struct err *e);
void http_wake(struct http *h); /* from any thread: ends the present or next http_run early */
struct http_reply *http_take(struct http *h); /* one that has ended, or NULL; give: http_reply_free */
void http_reply_free(struct http_reply *r);
int http_active(const struct http *h); /* transfers that have not ended */
#endif
