/* SHA-256 of files and folders, remembered by (device, inode, size, times): a file that nobody touched is not read again.
   The memory is a text file of lines that several runners append to; lines that do not parse are skipped. */
#ifndef COADOR_FLOW_HASHES_H
#define COADOR_FLOW_HASHES_H
#include "common/io/err.h"
#include "common/io/sha256.h"
#include <stdint.h>

struct hashes;
struct hashes *hashes_open(const char *path); /* a missing or unreadable file is an empty memory; give: hashes_close */
void hashes_close(struct hashes *h);          /* appends what was learnt; failing to is no error (the memory only saves time) */
/* Of a file's content; of a folder: over its files' names and hashes, sorted by name, links followed. *bytes (may be NULL)
   is the size of the content. Missing or special files: RC_IO, naming them. */
int hashes_path(struct hashes *h, const char *path, char hex[SHA256_HEX], int64_t *bytes, struct err *e);
#endif
