/* A bounded queue between two threads, and a reader thread that fills one with records: so that a filter goes on
   working on what it has while its input is slow. */
#ifndef COADOR_QUEUE_H
#define COADOR_QUEUE_H
#include "common/io/jsonl.h"

struct record_queue;
/* Starts a thread that reads `path` ("-": stdin) `depth` records ahead. give: record_queue_close. */
struct record_queue *record_queue_open(const char *path, int depth, struct err *e);
/* After the end (or an error) was taken: joins the thread and frees all. Before it, the thread may be waiting for input
   and everything is left to the end of the program. */
void record_queue_close(struct record_queue *q);
/* 1 and a record (give: record_free); 0 at the end; 2 when none has come yet and `wait` is false; -1 on an error, after
   every record before it was given. */
int record_queue_take(struct record_queue *q, bool wait, struct record **r, struct err *e);
#endif
