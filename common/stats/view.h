/* What the HTML and the Markdown of a report share: order, numbers as people read them, and sentences. */
#ifndef COADOR_VIEW_H
#define COADOR_VIEW_H
#include "common/stats/report.h"

extern const char *const fact_titles[N_FACTS];
/* Systems by score, descending, those without answers last; rank[order[i]] = i. */
struct view {
    const struct report *r;
    int *order, *rank;
};
void view_init(struct view *v, const struct report *r);
void view_release(struct view *v);
/* A fact for people ("118 MB", "not given"); appended. */
void view_fact(struct buf *b, enum fact f, double x);
/* A score's name: "macro-F1", or "macro-F1, mean of N groups". */
void view_score_name(const struct report *r, struct buf *b);
/* How a's score stands to b's: 1 better, -1 worse, 0 not decidable, at the corrected level of 0.05. */
int view_sign(const struct report *r, int a, int b);
/* How the numbers were made, a paragraph without markup. */
void view_method(const struct report *r, struct buf *b);
/* A class or "unparsed". */
const char *view_label(const struct task *t, int field, int16_t class);
const char *view_title(const struct report *r);
#endif
