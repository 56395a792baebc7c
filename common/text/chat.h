/* Chat templates that we know exactly, recognised by the SHA-256 of the model's Jinja text; another is an error. */
#ifndef COADOR_CHAT_H
#define COADOR_CHAT_H
#include "common/io/json.h"
#include "common/text/tokenizer.h"

struct chat; /* a recognised template with its tokenizer */
struct chat *chat_open(const struct tokenizer *t, struct err *e); /* borrows t; give: chat_free */
/* The same by name, whatever template the tokenizer's file holds: "chatml-smollm2", "llama-3", "llama-3.2". */
struct chat *chat_open_as(const struct tokenizer *t, const char *name, struct err *e);
void chat_free(struct chat *c);
const char *chat_name(const struct chat *c);
/* Appends the ids of [{"role","content"}, …] and, if `generate`, the opening of the assistant's turn. Contents are plain
   text: special tokens inside them are not special. Roles are system, user and assistant; other roles, other members or
   no message at all: RC_INPUT. Where the template begins with BOS (Llama-3) the ids do: do not add another.
   llama-3.2 writes a date into its system turn: always "26 Jul 2024", the template's own where there is no clock, so that
   the same messages have the same ids on every day (transformers writes today's unless given date_string). */
int chat_encode(const struct chat *c, const struct json *messages, bool generate, struct ids *out, struct err *e);
/* The same for one user message, with the opening of the assistant's turn. */
int chat_encode_user(const struct chat *c, const char *text, size_t n, struct ids *out, struct err *e);
int32_t chat_end(const struct chat *c); /* id that ends a turn */
#endif
