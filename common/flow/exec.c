/* Commands under bash: see exec.h. */
#include "common/flow/exec.h"
#include "common/io/buf.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- signals ---- */
static volatile sig_atomic_t group, caught;
static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP};
static struct sigaction before[3];

/* The first signal goes on as it is; a second one does not take no for an answer. */
static void pass_on(int sig) {
    int saved = errno;
    if (group > 0) kill(-(pid_t)group, caught ? SIGKILL : sig);
    caught = sig;
    errno = saved;
}

static void catch_signals(void) {
    struct sigaction a = {.sa_handler = pass_on};
    caught = 0;
    for (int i = 0; i < 3; i++) {
        sigaction(passed_on[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) sigaction(passed_on[i], &a, NULL);
    }
}

/* ---- the guard ---- */
static _Noreturn void guard_main(int fd) {
    pid_t doomed = 0, next;
    setsid(); /* a Ctrl-C at the terminal is not for the guard */
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(null, i); /* holds no pipe of the run open */
    for (;;) {
        ssize_t n = read(fd, &next, sizeof next);
        if (n == (ssize_t)sizeof next)
            doomed = next;
        else if (n >= 0 || errno != EINTR)
            break;
    }
    if (doomed > 0) kill(-doomed, SIGKILL);
    _exit(0);
}

int guard_start(struct guard *g, struct err *e) {
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0) return err_sys(e, "cannot make a pipe");
    fflush(NULL);
    g->fd = p[1];
    g->pid = fork();
    if (g->pid == 0) {
        close(p[1]);
        guard_main(p[0]);
    }
    close(p[0]);
    if (g->pid < 0) {
        close(p[1]);
        return err_sys(e, "cannot start a process");
    }
    catch_signals();
    return 0;
}

int guard_stop(struct guard *g) {
    close(g->fd);
    while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR) continue;
    for (int i = 0; i < 3; i++) sigaction(passed_on[i], &before[i], NULL);
    return caught;
}

static void guard_tell(struct guard *g, pid_t pid) {
    group = pid;
    while (write(g->fd, &pid, sizeof pid) < 0 && errno == EINTR) continue;
}

/* ---- standard error, passed on and remembered ---- */
struct tee {
    int fd, stop; /* read ends */
    char *tail;
    size_t n, size;
};

static void remember(struct tee *t, const char *s, size_t n) {
    size_t room = t->size - 1;
    if (n > room) s += n - room, n = room;
    size_t drop = t->n + n > room ? t->n + n - room : 0;
    memmove(t->tail, t->tail + drop, t->n - drop);
    t->n -= drop;
    memcpy(t->tail + t->n, s, n);
    t->n += n;
    t->tail[t->n] = 0;
}

static void *tee_main(void *arg) {
    struct tee *t = arg;
    char piece[4096];
    struct pollfd p[2] = {{t->fd, POLLIN, 0}, {t->stop, POLLIN, 0}};
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR) return NULL;
        if (!p[0].revents && p[1].revents) return NULL; /* the command is over and all it wrote is read */
        ssize_t n = p[0].revents ? read(t->fd, piece, sizeof piece) : -1;
        if (n == 0) return NULL;
        if (n < 0) continue;
        remember(t, piece, (size_t)n);
        for (ssize_t at = 0, k; at < n; at += k)
            if ((k = write(STDERR_FILENO, piece + at, (size_t)(n - at))) < 0) break;
    }
}

/* ---- the command ---- */
static _Noreturn void child_main(const char *cmd, const char *dir, int err_fd) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDONLY);
    for (int i = 0; i < 3; i++) signal(passed_on[i], before[i].sa_handler == SIG_IGN ? SIG_IGN : SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGTTOU, SIG_IGN); /* it may write to the terminal, though its group is not the one in front */
    if (null >= 0) dup2(null, STDIN_FILENO);
    if (err_fd >= 0) dup2(err_fd, STDERR_FILENO);
    if (chdir(dir) == 0) execlp("bash", "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", cmd, (char *)NULL);
    perror("cannot run bash");
    _exit(127);
}

/* Waits, kills what is left of the group while the leader still holds its number, then reaps it. */
static void reap(pid_t pid, struct exec_result *r) {
    siginfo_t info;
    struct rusage u;
    int status = 0;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) continue;
    kill(-pid, SIGKILL);
    while (wait4(pid, &status, 0, &u) < 0 && errno == EINTR) continue;
    r->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    r->peak = (int64_t)u.ru_maxrss * 1024;
}

static int exec_plain(struct guard *g, const char *cmd, const char *dir, int err_fd, struct exec_result *r, struct err *e, struct tee *t) {
    pthread_t thread;
    int stop[2] = {-1, -1};
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) child_main(cmd, dir, err_fd);
    if (pid < 0) {
        err_sys(e, "cannot start a process");
        if (err_fd >= 0) close(err_fd);
        return -1;
    }
    setpgid(pid, pid); /* in both, so that it holds whichever comes first */
    guard_tell(g, pid);
    if (caught) kill(-pid, SIGKILL);
    if (err_fd >= 0) close(err_fd);
    bool teeing = t && pipe2(stop, O_CLOEXEC) == 0;
    if (teeing) {
        t->stop = stop[0];
        teeing = pthread_create(&thread, NULL, tee_main, t) == 0;
    }
    if (t && !teeing) kill(-pid, SIGKILL); /* nobody reads its standard error: it would wait for ever */
    reap(pid, r);
    guard_tell(g, 0);
    if (stop[1] >= 0) close(stop[1]);
    if (teeing) pthread_join(thread, NULL);
    if (stop[0] >= 0) close(stop[0]);
    return !t || teeing ? 0 : err_set(e, RC_IO, "cannot start a thread");
}

int exec_command(struct guard *g, const char *cmd, const char *dir, struct exec_result *r, struct err *e) {
    int p[2];
    r->tail[0] = 0;
    r->status = 0;
    r->peak = 0;
    if (isatty(STDERR_FILENO)) return exec_plain(g, cmd, dir, -1, r, e, NULL); /* progress lines need the terminal itself */
    if (pipe2(p, O_CLOEXEC) < 0) return err_sys(e, "cannot make a pipe");
    struct tee t = {.fd = p[0], .tail = r->tail, .size = sizeof r->tail};
    int rc = exec_plain(g, cmd, dir, p[1], r, e, &t);
    close(p[0]);
    return rc;
}
