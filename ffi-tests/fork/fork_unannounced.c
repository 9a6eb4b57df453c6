// _Fork runs no fork handlers. Its child, in a process whose other threads are inside malloc, gets its memory or ends
// with one line that gives the reason; it never hangs. In a process with one thread it lives on as any child (11, 36).
// expect: exit 0
// variants: preload linked
// timeout: 120
// run: alone
// args: 0
// run: threads
// args: 3
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include "threads.h"

enum { ROUNDS = 300, LOST_ENOUGH = 3, PATIENCE = 20 };

static const char LINE[] = "spandrel: ALLOCATOR_LOST_LOCK: ";
static volatile int stop;

static void *contend(void *seed) {
    while (!stop) churn((uintptr_t)seed, 300, 64, (uintptr_t)seed % 2 ? 300000 : 3000);
    return NULL;
}

static void *child_thread(void *seed) {
    churn((uintptr_t)seed, 500, 64, 3000);
    return NULL;
}

// Its standard error is `out`.
static _Noreturn void child(int out, int threads) {
    CHECK(dup2(out, 2) == 2);
    alarm(PATIENCE);
    churn(7, 300, 64, 3000);
    for (size_t i = 0; i < LANE_COUNT; i++) free(opaque(malloc(LANE_SIZES[i])));
    if (threads == 0) {
        pthread_t one = start(child_thread, (void *)1), two = start(child_thread, (void *)2);
        join(one);
        join(two);
    }
    _exit(0);
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    int beside = atoi(arguments[1]), lost = 0;
    pthread_t threads[8];
    for (int i = 0; i < beside; i++) threads[i] = start(contend, (void *)(uintptr_t)(i + 1));
    churn(1, 100, 64, 3000);
    for (int round = 0; round < ROUNDS && lost < LOST_ENOUGH; round++) {
        int pipes[2];
        CHECK(pipe2(pipes, O_CLOEXEC) == 0);
        pid_t pid = _Fork();
        CHECK(pid >= 0);
        if (pid == 0) child(pipes[1], beside);
        close(pipes[1]);
        char text[256] = "";
        ssize_t length = read(pipes[0], text, sizeof text - 1);
        close(pipes[0]);
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        CHECK_WITH(beside > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, status);
        CHECK_WITH(length > 0 && strncmp(text, LINE, sizeof LINE - 1) == 0, length);
        lost++;
    }
    stop = 1;
    for (int i = 0; i < beside; i++) join(threads[i]);
    return 0;
}
