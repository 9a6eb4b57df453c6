// A long chain: every process, with threads, forks the next; the last one ends first and prints its peak memory. Heaps
// of threads that a fork left behind must not pile up. Argument: length of the chain.
#include <sys/wait.h>
#include "proc.h"
#include "threads.h"

static volatile int stop;

static void *work(void *seed) {
    while (!stop) churn((uintptr_t)seed, 200, 16, 2000);
    return NULL;
}

static long anonymous_kib(void) { return proc_number("/proc/self/status", "RssAnon:"); }

int main(int argc, char **argv) {
    CHECK(argc == 2);
    int length = atoi(argv[1]);
    alarm(60);
    for (int link = 0; link < length; link++) {
        pthread_t threads[3];
        stop = 0;
        for (uintptr_t i = 0; i < 3; i++) threads[i] = start(work, (void *)(i + 1));
        churn((uint64_t)link, 2000, 128, 3000);
        if (link == 5) printf("early=%ld\n", anonymous_kib());
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child > 0) {
            int status = 0;
            stop = 1;
            for (int i = 0; i < 3; i++) join(threads[i]);
            CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
            return WEXITSTATUS(status);
        }
    }
    printf("late=%ld\n", anonymous_kib());
    return 0;
}
