/* The parts of the HTML report that report_html.c puts together. */
#ifndef COADOR_PAGE_H
#define COADOR_PAGE_H
#include "common/stats/view.h"

extern const char page_css[];
/* "name" behind its number in its colour. */
void page_name(struct buf *b, const struct view *v, int system);
void page_scores(struct buf *b, const struct view *v);
void page_pairs(struct buf *b, const struct view *v);
void page_costs(struct buf *b, const struct view *v);
void page_learning(struct buf *b, const struct view *v);
void page_losses(struct buf *b, const struct view *v);
void page_confusions(struct buf *b, const struct view *v);
void page_calibration(struct buf *b, const struct view *v);
void page_differing(struct buf *b, const struct view *v);
/* The chart of the score against a fact; false, and nothing appended, when no system has it. */
bool page_fact_chart(struct buf *b, const struct view *v, enum fact f);
#endif
