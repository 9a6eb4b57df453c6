// Asks for memory in known amounts from known functions. argv: what to do at the end (`exit`, `kill` itself with
// SIGUSR2 first, or `fork` a child that goes on).
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define APART __attribute__((noinline, noclone))
#define HELD 2000
#define HELD_BYTES 16000
#define CHURNED 100000
#define CHURNED_BYTES 1000
#define GROWN_BYTES ((size_t)80 << 20)

static void *held[HELD];

APART void hold(void) {
    for (int i = 0; i < HELD; i++) held[i] = malloc(HELD_BYTES);
}

APART void churn(void) {
    for (int i = 0; i < CHURNED; i++) {
        void *volatile block = malloc(CHURNED_BYTES);
        free(block);
    }
}

// In place and by moving: 40 MiB, then 80, all of it gone at the end.
APART void grow(void) {
    char *block = malloc(GROWN_BYTES / 2);
    block = realloc(block, GROWN_BYTES);
    if (block) block[0] = 1;
    free(block);
}

int main(int count, char **arguments) {
    const char *end = count > 1 ? arguments[1] : "exit";
    hold();
    churn();
    grow();
    if (strcmp(end, "kill") == 0) raise(SIGUSR2);
    if (strcmp(end, "fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < HELD; i++) free(held[i]);
            exit(0);
        }
        waitpid(child, NULL, 0);
        printf("child=%d\n", (int)child);
    }
    printf("process=%d\n", (int)getpid());
    return 0;
}
