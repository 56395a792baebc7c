/* Inside of grammar*.c and mask*.c: languages of bytes as terms, matched by derivatives (Brzozowski, JACM 1964; with
   AND and NOT as in Owens, Reppy, Turon, JFP 2009). A term is immutable and interned: equal terms have equal ids, so a
   term's id is a state of an automaton that is built as it is walked, and the spine of CATs is its stack.
   AND, NOT and REM stand over regular terms only: nothing below them may be a CALL. */
#ifndef COADOR_GRAMMAR_TERM_H
#define COADOR_GRAMMAR_TERM_H
#include "common/io/buf.h"
#include <stdbool.h>
#include <stdint.h>

typedef uint32_t term;
#define TERM_EMPTY 0u /* no string at all */
#define TERM_EPS 1u   /* only the string of no bytes */
#define TERM_INF UINT32_MAX

enum term_kind {
    T_EMPTY, T_EPS,
    T_SET,  /* one byte of set a */
    T_CAT,  /* a, then b; a is no CAT */
    T_OR,   /* any of lists[a .. a + b), ascending */
    T_AND,  /* all of lists[a .. a + b), ascending */
    T_NOT,  /* whatever a is not */
    T_REP,  /* a, lo to hi times (TERM_INF: no limit) */
    T_CALL, /* the body of rule a */
    T_REM   /* decimal digits that make a number of remainder b (so far) divisible by a; each digit must be a class of its own */
};

struct term_node {
    uint8_t kind;
    uint8_t nullable; /* 0 not known, 1 no, 2 yes */
    uint32_t a, b, lo, hi;
    uint32_t min; /* bytes of its shortest string: TERM_INF none, MIN_UNKNOWN not known */
    uint32_t row; /* its transitions: 1 + index, 0 none yet */
};
#define MIN_UNKNOWN (TERM_INF - 1)

struct byteset {
    uint64_t w[4];
};
static inline bool byteset_has(const struct byteset *s, unsigned b) { return s->w[b >> 6] >> (b & 63) & 1; }
static inline void byteset_add(struct byteset *s, unsigned from, unsigned to) {
    for (unsigned b = from; b <= to; b++) s->w[b >> 6] |= (uint64_t)1 << (b & 63);
}

struct rule {
    term body;
    uint32_t min; /* bytes, as term_node's */
};

struct terms {
    struct term_node *v;
    size_t n, cap, limit; /* limit: at most so many, see overflow */
    uint32_t *slots;      /* hash table over v */
    size_t n_slots;
    term *lists;
    size_t n_lists, cap_lists;
    struct byteset *sets;
    size_t n_sets, cap_sets;
    struct byteset usable; /* bytes that may be written at all */
    term single[256];      /* sets of one byte, 0 where not made */
    struct rule *rules;
    size_t n_rules, cap_rules;
    /* after terms_freeze: bytes that every set treats alike are one class */
    uint8_t class_of[256], first_of[256]; /* byte -> class, class -> its lowest byte */
    uint16_t size_of[256];                /* bytes in a class */
    int classes;
    struct byteset *set_classes;          /* (n_sets) the classes in each set */
    uint32_t *rows; /* (row, class) -> term or TERM_INF where not known */
    size_t n_rows, cap_rows;
    term *scratch;
    size_t n_scratch, cap_scratch;
    bool frozen;
    size_t budget; /* states that all searches may still look at before it is an overflow; 0: no such bound */
    bool overflow; /* something was too large: while compiling results mean nothing; later what is not known yet is a dead end,
                      and is not kept, so that clearing this makes all of it good again */
};
static inline bool terms_stuck(const struct terms *x) { return x->overflow && x->frozen; }

/* usable: NULL for all bytes; sets lose the others. */
void terms_init(struct terms *x, const struct byteset *usable);
void terms_release(struct terms *x);

/* ---- building ---- */
term term_set(struct terms *x, const struct byteset *s);
term term_byte(struct terms *x, unsigned char b);
term term_range(struct terms *x, unsigned char from, unsigned char to);
term term_cat(struct terms *x, term a, term b);
term term_or(struct terms *x, const term *v, size_t n);
term term_or2(struct terms *x, term a, term b);
term term_and(struct terms *x, const term *v, size_t n);
term term_and2(struct terms *x, term a, term b);
term term_not(struct terms *x, term a);
term term_rep(struct terms *x, term a, uint32_t lo, uint32_t hi);
term term_opt(struct terms *x, term a);
term term_text(struct terms *x, const void *s, size_t n, term then); /* the bytes, then `then` */
term term_str(struct terms *x, const char *s);
term term_rem(struct terms *x, uint32_t divisor, uint32_t rest);
uint32_t rule_new(struct terms *x); /* its body is TERM_EMPTY until set */
term term_call(struct terms *x, uint32_t rule);

/* ---- walking ---- */
void terms_classes(struct terms *x); /* of terms_freeze */
/* No set is made after this. Finds every rule's shortest string; false on overflow. */
bool terms_freeze(struct terms *x);
bool term_nullable(struct terms *x, term t);
uint32_t term_min(struct terms *x, term t); /* bytes of the shortest string, TERM_INF for none */
/* What may follow a byte of class c: a term, TERM_EMPTY if such a byte leads nowhere. */
term term_step(struct terms *x, term t, int c);
/* The same without the look whether the way leads to an end. */
term term_derive(struct terms *x, term t, int c);
/* Classes, bit by bit, whose derivative of t is that by c; c is one of them. */
void term_alike(struct terms *x, term t, int c, struct byteset *block);
struct near {
    uint32_t room; /* bytes: the least limit that was taken out, TERM_INF for none */
    uint32_t tail; /* bytes that every string ends in, behind the part that was changed */
};
/* t without the upper limits of repetitions, `far` or more, in its first part: every string of t is one of it, and every one
   of at most room + tail bytes of it is one of t (a limit counts pieces of a byte at least). Products of a pattern with the
   characters left become the pattern's own few states. t itself where there is nothing to take out. */
term term_near(struct terms *x, term t, uint32_t far, struct near *n);
void term_row(struct terms *x, term t);            /* makes room for t's transitions, so that they are kept */
uint32_t term_search(struct terms *x, term t);     /* term_min of an AND, NOT or REM that is not nullable */
uint32_t min_add(uint32_t a, uint32_t b);          /* of lengths: TERM_INF and too large stay so */
#endif
