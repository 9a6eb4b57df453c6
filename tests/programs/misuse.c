/* A misuse below an inlined function, between two lines of the program's own on standard error. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char global[16];

static void say(const char *text) {
    if (write(2, text, strlen(text)) < 0) _exit(98);
}

static inline __attribute__((always_inline)) void innermost(void *block) {
    free(block); /* the line that reports name */
}

__attribute__((noinline)) void outer(void *block) {
    innermost(block);
    __asm__ volatile("");
}

int main(int argc, char **argv) {
    if (argc > 1 && chdir(argv[1]) != 0) return 97;
    say("before\n");
    for (volatile int i = 0; i < 2; i++) outer(global + 1);
    say("after\n");
    return 0;
}
