// Threads that hold libc's stream locks allocate while another forks: the order of locks must be libc's (11).
// expect: exit 0
// variants: preload linked glibc
#include <sys/wait.h>
#include "threads.h"

static char text[200000];
static volatile int stop;

static void *read_lines(void *unused) {
    while (!stop) {
        FILE *stream = fmemopen(text, sizeof text, "r");
        CHECK(stream != NULL);
        char *line = NULL;
        size_t size = 0;
        while (getline(&line, &size, stream) > 0) continue;
        free(line);
        fclose(stream);
    }
    return unused;
}

static void *flush_all(void *unused) {
    while (!stop) fflush(NULL);
    return unused;
}

int main(void) {
    memset(text, 'x', sizeof text);
    for (size_t at = 9999; at < sizeof text; at += 50000) text[at] = '\n';
    pthread_t flusher = start(flush_all, NULL), one = start(read_lines, NULL), two = start(read_lines, NULL);
    for (int round = 0; round < 300; round++) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        CHECK(child > 0 && waitpid(child, NULL, 0) == child);
    }
    stop = 1;
    join(flusher);
    join(one);
    join(two);
    return 0;
}
