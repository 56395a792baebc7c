/* For C tests of tokenizers: the small vocabularies, and long texts there and back. */
#ifndef VOCABULARY_H
#define VOCABULARY_H
#include "common/io/progress.h"
#include "common/text/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>

/* A file of tests/data/tokenizer; static buffer. */
__attribute__((unused)) static const char *vocabulary_path(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/tests/data/tokenizer/%s", getenv("SRC") ? getenv("SRC") : ".", name);
    return path;
}

__attribute__((unused)) static struct tokenizer *vocabulary(const char *name) {
    struct err e = ERR_INIT;
    struct tokenizer *t = tokenizer_from_json(vocabulary_path(name), &e);
    if (!t) fail_msg("%s", e.msg);
    return t;
}

/* The text (of `what` again and again) is encoded in less than 10 s, which time that grows with its square would not do, and
   comes back. Releases it. */
__attribute__((unused)) static void back_in_time(const struct tokenizer *t, struct buf *text, const char *what) {
    struct buf back = BUF_INIT;
    struct ids ids = IDS_INIT;
    struct err e = ERR_INIT;
    double start = now_seconds();
    if (tokenizer_encode(t, text->p, text->n, &ids, &e) < 0) fail_msg("%s", e.msg);
    double took = now_seconds() - start;
    if (!(took < 10)) fail_msg("%zu bytes of '%s' took %.1f s", text->n, what, took);
    tokenizer_decode(t, ids.v, ids.n, false, &back);
    assert_int_equal(back.n, text->n);
    assert_memory_equal(back.p, text->p, text->n);
    buf_release(text);
    buf_release(&back);
    ids_release(&ids);
}
#endif
