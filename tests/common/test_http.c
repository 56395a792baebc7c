/* POSTs against a socket of our own: replies, limits, timeouts, connections that break, many at once; URLs; what replies and
   refusals of chat completions are read as. */
#include "common/io/http.h"
#include "common/io/progress.h"
#include "common/label/openai.h"
#include "scratch.h"
#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <sys/socket.h>

struct server { /* answers `n` connections, one request each, with the same bytes */
    int fd, n, linger_ms;
    const char *reply;
    size_t n_reply;
    char url[64];
    char seen[4096]; /* the last request */
    pthread_t thread;
};

static void *serve(void *arg) {
    struct server *s = arg;
    for (int i = 0; i < s->n; i++) {
        int c = accept(s->fd, NULL, NULL);
        size_t got = 0;
        ssize_t k;
        while (got < sizeof s->seen - 1 && (k = recv(c, s->seen + got, sizeof s->seen - 1 - got, 0)) > 0) {
            got += (size_t)k;
            s->seen[got] = 0;
            if (strstr(s->seen, "\r\n\r\nBODY")) break;
        }
        for (size_t sent = 0; sent < s->n_reply && (k = send(c, s->reply + sent, s->n_reply - sent, MSG_NOSIGNAL)) > 0;) sent += (size_t)k;
        usleep((unsigned)s->linger_ms * 1000);
        close(c);
    }
    return NULL;
}

static void start(struct server *s, const char *reply, int n, int linger_ms) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    *s = (struct server){.n = n, .linger_ms = linger_ms, .reply = reply, .n_reply = strlen(reply)};
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/v1", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s) {
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static struct http *client(double timeout, size_t max_body) {
    struct err e = ERR_INIT;
    const struct http_options o = {.timeout = timeout, .connect_timeout = 5, .max_body = max_body, .connections = 8};
    struct http *h = http_new(&o, &e);
    if (!h) fail_msg("%s", e.msg);
    return h;
}

static void post(struct http *h, uint64_t number, const char *url) {
    static const char *const headers[] = {"Content-Type: application/json", "Authorization: Bearer k"};
    struct err e = ERR_INIT;
    if (http_post(h, number, url, headers, 2, "BODY", 4, &e)) fail_msg("%s", e.msg);
}

static struct http_reply *wait_reply(struct http *h) {
    struct err e = ERR_INIT;
    for (struct http_reply *r;;) {
        if ((r = http_take(h))) return r;
        if (!http_active(h)) fail_msg("nothing runs and nothing came");
        if (http_run(h, 1, &e)) fail_msg("%s", e.msg);
    }
}

static struct http_reply *ask(struct server *s, double timeout, size_t max_body) {
    struct http *h = client(timeout, max_body);
    post(h, 7, s->url);
    struct http_reply *r = wait_reply(h);
    assert_int_equal(r->number, 7);
    http_free(h);
    stop(s);
    return r;
}

static void test_reply(void **state) {
    struct server s;
    start(&s, "HTTP/1.1 429 Too Many\r\nRetry-After: 12\r\nContent-Length: 5\r\n\r\nhello", 1, 0);
    struct http_reply *r = ask(&s, 5, 100);
    assert_int_equal(r->end, HTTP_REPLY);
    assert_int_equal(r->status, 429);
    assert_true(r->retry_after == 12);
    assert_string_equal(r->body.p, "hello");
    assert_non_null(strstr(s.seen, "POST /v1 HTTP/1.1\r\n"));
    assert_non_null(strstr(s.seen, "Authorization: Bearer k\r\n"));
    assert_null(strstr(s.seen, "Expect:"));
    http_reply_free(r);
}

static void test_date(void **state) {
    struct server s;
    start(&s, "HTTP/1.1 503 x\r\nRetry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n", 1, 0);
    struct http_reply *r = ask(&s, 5, 100);
    assert_int_equal(r->status, 503);
    assert_true(r->retry_after > 86400);
    http_reply_free(r);
}

static void test_failures(void **state) {
    struct server s;
    struct http_reply *r;
    start(&s, "HTTP/1.1 200 x\r\nContent-Length: 11\r\n\r\nhello world", 1, 0);
    r = ask(&s, 5, 11);
    assert_int_equal(r->end, HTTP_REPLY); /* as large as may be */
    http_reply_free(r);
    start(&s, "HTTP/1.1 200 x\r\nContent-Length: 11\r\n\r\nhello world", 1, 0);
    r = ask(&s, 5, 10);
    assert_int_equal(r->end, HTTP_TOO_LARGE);
    assert_string_equal(r->why, "the reply is larger than 10 bytes");
    http_reply_free(r);
    start(&s, "HTTP/1.1 200 x\r\nContent-Length: 99\r\n\r\nhello", 1, 0);
    r = ask(&s, 5, 1000);
    assert_int_equal(r->end, HTTP_BROKEN);
    http_reply_free(r);
    start(&s, "", 1, 0);
    r = ask(&s, 5, 1000);
    assert_int_equal(r->end, HTTP_BROKEN);
    http_reply_free(r);
    start(&s, "HTTP/1.1 200 x\r\nContent-Length: 99\r\n\r\nhello", 1, 600);
    r = ask(&s, 0.2, 1000);
    assert_int_equal(r->end, HTTP_TIMEOUT);
    http_reply_free(r);
    start(&s, "HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 1, 0);
    r = ask(&s, 5, 1000);
    assert_int_equal(r->status, 302); /* not followed */
    http_reply_free(r);
}

static void test_many(void **state) {
    struct server s;
    bool seen[40] = {false};
    start(&s, "HTTP/1.1 200 x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", 40, 0);
    struct http *h = client(20, 100);
    for (uint64_t i = 0; i < 40; i++) post(h, i, s.url);
    for (int i = 0; i < 40; i++) {
        struct http_reply *r = wait_reply(h);
        assert_int_equal(r->end, HTTP_REPLY);
        assert_false(seen[r->number]);
        seen[r->number] = true;
        http_reply_free(r);
    }
    assert_int_equal(http_active(h), 0);
    assert_null(http_take(h));
    http_free(h);
    stop(&s);
}

static void *wake_soon(void *h) {
    usleep(50000);
    http_wake(h);
    return NULL;
}

static void test_wake(void **state) {
    struct err e = ERR_INIT;
    pthread_t t;
    struct http *h = client(5, 100);
    double t0 = now_seconds();
    pthread_create(&t, NULL, wake_soon, h);
    assert_int_equal(http_run(h, 20, &e), 0);
    assert_true(now_seconds() - t0 < 15);
    pthread_join(t, NULL);
    http_free(h);
}

static void test_urls(void **state) {
    struct err e = ERR_INIT;
    int loopback = -1;
    assert_int_equal(http_check_url("https://api.example.com/v1", &loopback, &e), 0);
    assert_int_equal(loopback, 0);
    assert_int_equal(http_check_url("http://localhost:8000", &loopback, &e), 0);
    assert_int_equal(loopback, 1);
    static const char *const bad[] = {"file:///etc/passwd", "ftp://x", "", "http://", "http://user:pass@host", "http://a b/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (http_check_url(bad[i], NULL, &e) == 0) fail_msg("%s was taken", bad[i]);
    assert_int_equal(e.code, RC_USAGE);
}

static void reads(const char *body, const char *expected) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    if (openai_answer(body, strlen(body), &b, &e)) fail_msg("%s: %s", body, e.msg);
    assert_string_equal(b.p, expected);
    buf_release(&b);
}

static void unreadable(const char *body, const char *part) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    assert_int_equal(openai_answer(body, strlen(body), &b, &e), -1);
    assert_err(&e, RC_INPUT, part);
    buf_release(&b);
}

static void test_answers(void **state) {
    reads("{\"choices\":[{\"message\":{\"content\":\"a\\n\"},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}",
          "{\"text\":\"a\\n\",\"finish\":\"length\",\"prompt_tokens\":3,\"completion_tokens\":4}");
    reads("{\"choices\":[{\"message\":{\"content\":\"a\"}},{\"message\":{\"content\":\"b\"}}],\"usage\":{\"prompt_tokens\":-3,\"completion_tokens\":1.5}}",
          "{\"text\":\"a\",\"finish\":\"stop\",\"prompt_tokens\":null,\"completion_tokens\":null}");
    reads("{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"no\"},\"finish_reason\":\"stop\"}],\"usage\":null}",
          "{\"text\":\"no\",\"finish\":\"refusal\",\"prompt_tokens\":null,\"completion_tokens\":null}");
    unreadable("{\"choices\":[{\"mess", "the reply is no JSON: ");
    unreadable("", "the reply is no JSON: ");
    unreadable("[]", "no choices");
    unreadable("{\"choices\":{}}", "no choices");
    unreadable("{\"choices\":[]}", "choices are empty");
    unreadable("{\"choices\":[null]}", "no content");
    unreadable("{\"choices\":[{\"message\":{\"content\":null}}]}", "no content");
    unreadable("{\"choices\":[{\"message\":{\"content\":[1]}}]}", "no content");
}

static void says(const char *body, const char *text, const char *code) {
    char t[20], c[20];
    openai_refusal(body, strlen(body), t, c, sizeof t);
    assert_string_equal(t, text);
    assert_string_equal(c, code);
}

static void test_refusals(void **state) {
    says("{\"error\":{\"message\":\"no\\nway\",\"code\":\"x\"}}", "no way", "x");
    says("{\"error\":\"plain\"}", "plain", "");
    says("{\"detail\":[1,2]}", "[1,2]", "");
    says("oops", "oops", "");
    says("\xff\xfe", "", "");
    says("0123456789012345678é", "0123456789012345678", "");
    says("012345678901234567é", "012345678901234567", ""); /* no half character */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reply), cmocka_unit_test(test_date), cmocka_unit_test(test_failures), cmocka_unit_test(test_many),
                                       cmocka_unit_test(test_wake), cmocka_unit_test(test_urls), cmocka_unit_test(test_answers), cmocka_unit_test(test_refusals)};
    unsetenv("http_proxy");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
