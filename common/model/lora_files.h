/* Shared by lora.c, lora_peft.c and lora_config.c; private to common/model. */
#ifndef COADOR_LORA_FILES_H
#define COADOR_LORA_FILES_H
#include "common/model/lora.h"

#define LORA_MAX_RANK 65536

/* An adapter's offsets, without memory yet (p NULL); then its device memory, values not set. */
struct lora *lora_plan(const struct model *m, const struct lora_config *cfg, struct err *e);
int lora_reserve(struct lora *a, struct err *e);
/* adapter_config.json both ways. */
int lora_config_read(struct lora_config *c, int L, const char *path, struct err *e);
int lora_config_write(const struct lora_config *c, const char *path, const char *base_name, struct err *e);
/* coador.json of the directory, where it is there, against the model. */
int lora_check_identity(const struct model *m, const char *dir, struct err *e);
#endif
