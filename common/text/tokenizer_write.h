/* Hugging Face's tokenizer files from a GGUF file's metadata: the same ids, and the same when read back here. */
#ifndef COADOR_TOKENIZER_WRITE_H
#define COADOR_TOKENIZER_WRITE_H
#include "common/io/buf.h"
#include "common/io/gguf.h"

/* tokenizer.json and tokenizer_config.json (special tokens, chat template), appended. What tokenizer_from_gguf refuses is
   refused, and two tokens of one text, which a JSON object cannot hold. */
int tokenizer_write(const struct gguf *g, struct buf *tokenizer, struct buf *config, struct err *e);
#endif
