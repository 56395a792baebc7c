/* Errors: a code that is also the program's exit status, and one line of text.
   Library calls return 0 or -1 (NULL for constructors) and fill a caller's struct err;
   only tools print and exit (opt.h: die). Text is lower case, without a full stop,
   problem first, then where: "file:line: what, what was expected". */
#ifndef COADOR_ERR_H
#define COADOR_ERR_H
#include <stdarg.h>

/* Exit statuses of every program (coador.7). */
enum rc {
    RC_DONE = 0,     /* done */
    RC_NEGATIVE = 1, /* ran, but the answer is negative: limit or threshold missed, alarm */
    RC_USAGE = 2,    /* the command line is wrong */
    RC_INPUT = 3,    /* input breaks its format or does not fit */
    RC_IO = 4,       /* input/output or memory */
    RC_DEVICE = 5    /* accelerator */
};

struct err {
    int code; /* enum rc; 0 while nothing has failed */
    char msg[1000];
};
#define ERR_INIT {0, ""}

/* Fills e (may be NULL) and returns -1, so that `return err_set(...)` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_vset(struct err *e, int code, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));
/* As err_set with code RC_IO, and ": strerror(errno)" appended. */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "prefix" before the text already there ("file:3: " + text); returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A broken promise of our own code: prints file:line and aborts. */
#define BUG(...) err_bug(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void err_bug(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#endif
