// The program's atfork handlers take a lock under which another thread allocates; they were registered before the first
// malloc (11).
// expect: exit 0
// variants: preload linked glibc
#include <sys/wait.h>
#include "threads.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile int stop;
static void *kept;

static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }
static void in_child(void) {
    unlock();
    kept = realloc(kept, 300000);
    free(opaque(malloc(50 * MIB)));
}

static void *work(void *unused) {
    while (!stop) {
        lock();
        free(opaque(malloc(100000)));
        unlock();
    }
    return unused;
}

int main(void) {
    CHECK(pthread_atfork(lock, unlock, in_child) == 0);
    kept = opaque(malloc(100000));
    pthread_t worker = start(work, NULL);
    for (int round = 0; round < 200; round++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            _exit(kept == NULL);
        }
        int status = 1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK_WITH(status == 0, status);
    }
    stop = 1;
    join(worker);
    return 0;
}
