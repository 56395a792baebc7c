/* Hugging Face's tokenizer files from a GGUF file's metadata: the same ids, and the same when read back here. */
#ifndef COADOR_TOKENIZER_EXPORT_H
#define COADOR_TOKENIZER_EXPORT_H
#include "common/io/buf.h"
#include "common/io/gguf.h"

/* tokenizer.json and tokenizer_config.json (special tokens, chat template), appended. */
int tokenizer_export(const struct gguf *g, struct buf *tokenizer, struct buf *config, struct err *e);
#endif
