/* Chat templates that we know exactly, recognised by the SHA-256 of the model's Jinja text; another is an error. */
#ifndef COADOR_CHAT_H
#define COADOR_CHAT_H
#include "common/io/json.h"
#include "common/text/tokenizer.h"

struct chat; /* a recognised template with its tokenizer */
struct chat *chat_open(const struct tokenizer *t, struct err *e); /* borrows t; give: chat_free */
void chat_free(struct chat *c);
const char *chat_name(const struct chat *c); /* "chatml-smollm2", "llama-3" */
/* Appends the ids of [{"role","content"}, …] and, if `generate`, the opening of the assistant's turn. Contents are plain
   text: special tokens inside them are not special. Roles or shapes the template does not take: RC_INPUT. */
int chat_encode(const struct chat *c, const struct json *messages, bool generate, struct ids *out, struct err *e);
/* The same for one user message. */
int chat_encode_user(const struct chat *c, const char *text, size_t n, struct ids *out, struct err *e);
int32_t chat_end(const struct chat *c); /* id that ends a turn */
#endif
