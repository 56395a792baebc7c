/* The scratch folder that a stage runs in, and the way of its outs into the pipeline's folder. The scratch lies beside the
   folder (PARENT/.FOLDER@STAGE.tmp), so that ../../ means the same and renames stay on one file system. */
#ifndef COADOR_FLOW_PLACE_H
#define COADOR_FLOW_PLACE_H
#include "common/flow/flow.h"

char *place_scratch(const struct flow *f, const struct flow_stage *s); /* its path; give */
/* Empties the way: what a killed run left in the scratch (its persist outs are saved first), the old provenance, the old
   outs (persist ones stay). After it the stage counts as never run. */
int place_clear(const struct flow *f, const struct flow_stage *s, const char *scratch, struct err *e);
/* Makes the scratch: links to the dependencies inside the folder and to persist outs that exist, and the outs' folders. */
int place_prepare(const struct flow *f, const struct flow_stage *s, const char *scratch, struct err *e);
/* Every declared out was made and is a file or a folder: RC_INPUT naming it, with the stage, if not. */
int place_check(const struct flow_stage *s, const char *scratch, struct err *e);
/* Moves all outs (persist_only: those made so far) into the folder, each whole, synced first; then removes the scratch. */
int place_finish(const struct flow *f, const struct flow_stage *s, const char *scratch, bool persist_only, struct err *e);
#endif
