/* Ops whose result is what the next adapted in e4m3 multiplies (adapted.h): they round it as they write it, and a->rounded tells adapted so. For
   the rest they are the plain ops. Of cards only. */
#ifndef COADOR_ROUNDED_H
#define COADOR_ROUNDED_H
struct kctx;
typedef void rmsnorm_e4m3_fn(struct kctx *, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C);
typedef void swiglu_e4m3_fn(struct kctx *, void *y, const void *gate, const void *up, int R, int F);
/* Of swiglu_bwd_again; dgate and dup of a row have one scale, as the two gradients of one input. */
typedef void swiglu_bwd_e4m3_fn(struct kctx *, void *dgate, void *dup, void *y, const void *dy, const void *gate, const void *up, int R, int F);
#endif
