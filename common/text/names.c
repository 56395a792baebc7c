/* Names of members while they are written: see names.h. */
#include "common/text/names.h"
#include <stdlib.h>
#include <string.h>

void names_release(struct names *s) {
    buf_release(&s->text);
    free(s->levels);
    *s = (struct names)NAMES_INIT;
}

static void open_level(struct names *s, bool object) {
    GROW(s->levels, s->n, s->cap);
    s->levels[s->n++] = (struct level){s->text.n, object};
    s->name = object;
}

static void close_level(struct names *s) {
    if (s->n) s->text.n = s->levels[--s->n].from;
    s->name = false;
}

/* The last of the names is whole: whether its object has it already. */
static bool end_name(struct names *s) {
    buf_addc(&s->text, 0);
    s->name = false;
    const char *p = s->text.p;
    size_t len = s->text.n - s->begun;
    for (size_t at = s->n ? s->levels[s->n - 1].from : 0; at < s->begun; at += strlen(p + at) + 1)
        if (strlen(p + at) + 1 == len && !memcmp(p + at, p + s->begun, len)) return true;
    return false;
}

static bool take_byte(struct names *s, char b) {
    if (s->in_string) {
        s->in_string = b != '"' || s->escaped;
        s->escaped = b == '\\' && !s->escaped;
        if (s->name && s->in_string) buf_addc(&s->text, b);
        return s->name && !s->in_string && end_name(s);
    }
    switch (b) {
    case '"':
        s->in_string = true;
        s->begun = s->text.n;
        break;
    case '{':
    case '[': open_level(s, b == '{'); break;
    case '}':
    case ']': close_level(s); break;
    case ',': s->name = s->n && s->levels[s->n - 1].object; break;
    default: break;
    }
    return false;
}

bool names_take(struct names *s, const char *bytes, size_t n) {
    bool twice = false;
    for (size_t i = 0; i < n; i++) twice |= take_byte(s, bytes[i]);
    return twice;
}

bool names_would(const struct names *s, const char *bytes, size_t n, struct names *scratch) {
    buf_clear(&scratch->text);
    buf_add(&scratch->text, s->text.n ? s->text.p : "", s->text.n);
    scratch->n = 0;
    for (size_t i = 0; i < s->n; i++) {
        GROW(scratch->levels, scratch->n, scratch->cap);
        scratch->levels[scratch->n++] = s->levels[i];
    }
    scratch->in_string = s->in_string;
    scratch->escaped = s->escaped;
    scratch->name = s->name;
    scratch->begun = s->begun;
    return names_take(scratch, bytes, n);
}

int names_quotes(const struct names *s) { return s->in_string ? (s->name ? 1 : 3) : 2; }
