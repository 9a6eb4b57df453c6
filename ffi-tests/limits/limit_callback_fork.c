// A fork while another thread is in the function for limits: the child's calls that meet a limit call it, too, though
// that thread never comes back there.
// expect: exit 0
// variants: preload linked static
#include <semaphore.h>
#include <sys/wait.h>
#include "spandrel_weak.h"
#include "threads.h"

static sem_t is_in, may_leave;
static bool is_child;
static int calls;

static void on_limit(int limit, size_t held, size_t bytes) {
    CHECK(limit == SPANDREL_LIMIT_HARD && held <= bytes && bytes == 64 * MIB);
    calls++;
    if (!is_child) {
        CHECK(sem_post(&is_in) == 0 && sem_wait(&may_leave) == 0);
    }
    // The request is served then.
    CHECK(spandrel_set_limits(0, 0));
}

static void *meet(void *unused) {
    void *block = opaque(malloc(70 * MIB));
    CHECK(block != NULL);
    free(block);
    return unused;
}

int main(void) {
    CHECK(sem_init(&is_in, 0, 0) == 0 && sem_init(&may_leave, 0, 0) == 0);
    CHECK(spandrel_set_limits(0, 64 * MIB));
    spandrel_set_limit_callback(on_limit);
    pthread_t other = start(meet, NULL);
    CHECK(sem_wait(&is_in) == 0);
    pid_t child = fork();
    if (child == 0) {
        is_child = true;
        meet(NULL);
        CHECK_WITH(calls == 2, calls);
        _exit(0);
    }
    int how = 0;
    CHECK(child > 0 && waitpid(child, &how, 0) == child);
    CHECK_WITH(WIFEXITED(how) && WEXITSTATUS(how) == 0, how);
    CHECK(sem_post(&may_leave) == 0);
    join(other);
    CHECK_WITH(calls == 1, calls);
    return 0;
}
