/* Shell commands of a stage, watched: bash in a process group of its own, and a guard process that kills the group when
   this process dies in whatever way, so that nothing of a dead run goes on writing. */
#ifndef COADOR_FLOW_EXEC_H
#define COADOR_FLOW_EXEC_H
#include "common/io/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct guard {
    int fd;    /* write end: the group to kill goes through it, its end means that we are gone */
    pid_t pid;
};
/* While a guard is up, SIGINT, SIGTERM and SIGHUP go on to the running command. One at a time. */
int guard_start(struct guard *g, struct err *e);
int guard_stop(struct guard *g); /* the signal that came meanwhile, or 0 */

struct exec_result {
    int status;     /* exit status; 128 + signal number if a signal ended it */
    int64_t peak;   /* bytes: largest resident set of any one of its processes */
    char tail[4096]; /* its last lines on standard error, unless that is a terminal */
};
/* Runs `bash -eo pipefail -c cmd` in dir, standard input empty, output as it comes. Whatever of its group is left
   when it ends is killed. -1 and e (RC_IO) only if it could not be started. */
int exec_command(struct guard *g, const char *cmd, const char *dir, struct exec_result *r, struct err *e);
#endif
