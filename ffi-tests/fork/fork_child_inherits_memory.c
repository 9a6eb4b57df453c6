// The child of a fork reuses the free blocks of the threads that it lost: its heap does not grow for as many blocks as
// they freed.
// env: SPANDREL_IDLE_RETURN=off
// expect: exit 0
#include <sys/wait.h>
#include "spandrel_weak.h"
#include "threads.h"

// Every sixteenth block stays, so that no span becomes free as a whole.
enum { THREADS = 4, MADE = 20000, KEPT = 16, SIZE = 160, HELD = MADE / KEPT };

static pthread_barrier_t ready;

static struct spandrel_stats now(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats;
}

static void *fill_and_sleep(void *unused) {
    void **blocks = opaque(malloc(MADE * sizeof *blocks));
    for (int i = 0; i < MADE; i++) blocks[i] = opaque(malloc(SIZE));
    for (int i = 0; i < MADE; i++)
        if (i % KEPT) free(blocks[i]);
    pthread_barrier_wait(&ready);
    pause();
    return unused;
}

static void allocate_what_they_freed(void) {
    size_t before = now().obtained_bytes, count = (size_t)THREADS * (MADE - HELD), grown;
    for (size_t i = 0; i < count; i++) memset(opaque(malloc(SIZE)), 1, SIZE);
    grown = now().obtained_bytes - before;
    CHECK_WITH(grown < count * SIZE / 4, grown);
    CHECK_WITH(now().heaps == 1, now().heaps);
}

int main(void) {
    pthread_barrier_init(&ready, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) start(fill_and_sleep, NULL);
    pthread_barrier_wait(&ready);
    CHECK_WITH(now().heaps == THREADS + 1, now().heaps);
    pid_t child = fork();
    if (child == 0) {
        allocate_what_they_freed();
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == 0, status);
    _exit(0);
}
