// A signal that comes while a fork holds the allocator's locks waits: its handler runs after the last of the
// allocator's fork handlers, in the parent as in the child, where it may allocate and free. The program's fork handlers
// raise signals. They are registered before the allocator's, so they run while it holds the locks, and may fork (36).
// expect: exit 0
// run: alone
// args: 0
// run: threads
// args: 2
// run: tracked
// args: 0
// env: SPANDREL_MODE=tracked
// run: hardened
// args: 0
// env: SPANDREL_MODE=hardened
// run: guarded
// args: 0
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=2
// variants: preload linked
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include "heaps.h"

enum { ROUNDS = 20, BESIDE = 2 };

typedef int register_handlers(void (*)(void), void (*)(void), void (*)(void), void *);

static spandrel_heap_t *heap;
static char *before;
// Whether the fork under way has the locks; how deep it is nested.
static volatile bool locked;
static volatile int depth;
static bool forks_within, started;
static volatile int handled[2];
static atomic_bool stop;

static void await(pid_t child) {
    int how = 0;
    CHECK(child > 0 && waitpid(child, &how, 0) == child);
    CHECK_WITH(WIFEXITED(how) && WEXITSTATUS(how) == 0, how);
}

// The calls of a process that forks as it likes; `spandrel_heap_use` is refused inside the allocator.
static void check_outside(void) {
    CHECK(spandrel_heap_use(heap) == NULL);
    churn(1, 60, 16, 40000);
    CHECK(spandrel_heap_use(NULL) == heap);
    CHECK(holds(before, 3000, 4));
}

static void fork_one(void) {
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        check_outside();
        _exit(0);
    }
    await(child);
}

static void on_signal(int number) {
    int kept = errno;
    CHECK_WITH(!locked, number);
    check_outside();
    handled[number == SIGUSR2]++;
    errno = kept;
}

static void prepare(void) {
    if (!started || depth++ > 0) return;
    CHECK(spandrel_heap_use(heap) == SPANDREL_HEAP_FAILED && errno == EAGAIN);
    locked = true;
    CHECK(raise(SIGUSR1) == 0);
    if (!forks_within) return;
    pid_t child = fork();
    if (child == 0) _exit(0);
    await(child);
}

static void after(void) {
    if (!started || --depth > 0) return;
    CHECK(spandrel_heap_use(heap) == SPANDREL_HEAP_FAILED && errno == EAGAIN);
    CHECK(raise(SIGUSR2) == 0);
    locked = false;
}

// The library stands in front of libc's function, to have its own handlers come first. Its name has no version there.
__attribute__((constructor(101))) static void early(void) {
    register_handlers *add = (register_handlers *)dlvsym(RTLD_NEXT, "__register_atfork", "GLIBC_2.3.2");
    CHECK(add != NULL && add(prepare, after, after, NULL) == 0);
}

static void *contend(void *seed) {
    while (!atomic_load(&stop)) churn((uintptr_t)seed, 300, 64, 3000);
    return NULL;
}

// One fork: the parent's handlers ran twice, the child's once, because signals that are pending stay the parent's.
static void one_round(void) {
    handled[0] = handled[1] = 0;
    pid_t child = fork();
    CHECK_WITH(!locked && depth == 0, depth);
    CHECK_WITH(handled[1] == 1 && handled[0] == (child == 0 ? 0 : 1), handled[0]);
    if (child == 0) {
        alarm(20);
        check_outside();
        fork_one();
        free(before);
        _exit(0);
    }
    await(child);
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    int beside = atoi(arguments[1]);
    heap = heap_new("of handlers", 0, SPANDREL_HEAP_SHARED);
    fill(before = opaque(malloc(3000)), 3000, 4);
    // libc locks its list of handlers in a process with threads, so that they cannot fork there.
    forks_within = beside == 0;
    struct sigaction action = {.sa_handler = on_signal};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
    started = true;
    alarm(20);
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    // The other threads block the signals.
    CHECK(pthread_sigmask(SIG_BLOCK, &both, NULL) == 0);
    pthread_t threads[BESIDE];
    CHECK(beside <= BESIDE);
    for (int i = 0; i < beside; i++) threads[i] = start(contend, (void *)(uintptr_t)(i + 1));
    CHECK(pthread_sigmask(SIG_UNBLOCK, &both, NULL) == 0);
    for (int round = 0; round < ROUNDS; round++) one_round();
    atomic_store(&stop, true);
    for (int i = 0; i < beside; i++) join(threads[i]);
    destroy(heap);
    return 0;
}
