// vfork, posix_spawn, system, popen and exec from a multi-threaded program; the new programs run under the same
// settings.
// expect: exit 0
// variants: preload linked glibc
#include <spawn.h>
#include <sys/wait.h>
#include "threads.h"

extern char **environ;
static volatile int stop;

static void *contend(void *seed) {
    while (!stop) churn((uintptr_t)seed, 300, 64, 3000);
    return NULL;
}

static void expect_status(pid_t child, int wanted) {
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == wanted, status);
}

int main(void) {
    pthread_t one = start(contend, (void *)1), two = start(contend, (void *)2);
    char *arguments[] = {"sh", "-c", "exit 5", NULL};
    for (int round = 0; round < 15; round++) {
        pid_t child = vfork();
        if (child == 0) {
            execv("/bin/sh", arguments);
            _exit(9);
        }
        expect_status(child, 5);
        CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ) == 0);
        expect_status(child, 5);
        int status = system("exit 6");
        CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == 6, status);
        FILE *pipe = popen("echo hello", "r");
        char line[32] = "";
        CHECK(pipe != NULL && fgets(line, sizeof line, pipe) != NULL && strcmp(line, "hello\n") == 0 &&
            pclose(pipe) == 0);
        if ((child = fork()) == 0) {
            free(opaque(malloc(50000)));
            execv("/bin/sh", arguments);
            _exit(9);
        }
        expect_status(child, 5);
    }
    stop = 1;
    join(one);
    join(two);
    return 0;
}
