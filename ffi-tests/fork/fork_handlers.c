// The program's own pthread_atfork handlers allocate and free, in all three places (11).
// expect: exit 0
// variants: preload linked static glibc
#include <sys/wait.h>
#include "threads.h"

static char *prepared_stack[8];
static int depth;
static volatile int stop;

static void prepare(void) { fill(prepared_stack[depth++] = opaque(malloc(900)), 900, 2); }
static void after(void) {
    char *prepared = prepared_stack[--depth];
    CHECK(holds(prepared, 900, 2));
    free(prepared);
    churn(1, 100, 32, 50000);
}

__attribute__((constructor(101))) static void early(void) { CHECK(pthread_atfork(prepare, after, after) == 0); }

static void *contend(void *seed) {
    while (!stop) churn((uintptr_t)seed, 300, 64, 3000);
    return NULL;
}

int main(void) {
    CHECK(pthread_atfork(prepare, after, after) == 0);
    pthread_t one = start(contend, (void *)1), two = start(contend, (void *)2);
    for (int round = 0; round < 50; round++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            churn(2, 100, 32, 3000);
            _exit(4);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == 4, status);
    }
    stop = 1;
    join(one);
    join(two);
    return 0;
}
