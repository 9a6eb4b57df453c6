// Four threads exchange blocks through common places, so that most frees are remote, and threads end while others still
// hold their blocks. No free is taken for a second one, no block has two holders, and calloc's bytes are zero: also
// beside forks whose children go on in threads of their own, and signal handlers that allocate and free.
// expect: exit 0
// timeout: 60
// variants: preload
// run: fast
// run: tracked
// env: SPANDREL_MODE=tracked
// run: hardened
// env: SPANDREL_MODE=hardened
// run: fast_disturbed
// args: disturbed
// run: tracked_disturbed
// args: disturbed
// env: SPANDREL_MODE=tracked
// run: hardened_disturbed
// args: disturbed
// env: SPANDREL_MODE=hardened
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "threads.h"

enum { PLACES = 2048, THREADS = 4, ROUNDS = 3, STEPS = 60000, CHILDREN = 8, CHILD_THREADS = 2, CHILD_STEPS = 4000 };
// A class that nothing but the handler uses, as docs/limits.md has it.
enum { SIZE_IN_HANDLER = 3000, PERIOD_US = 500 };

// The head of a block that somebody holds.
struct held {
    uintptr_t mark;
    size_t size;
};

static _Atomic(struct held *) places[PLACES];

static uintptr_t mark_of(const struct held *block) { return ~(uintptr_t)block; }

// Sizes leave out the class of the handler, also when they are doubled.
static size_t some_size(uint64_t *state) {
    size_t drawn = next_random(state);
    if (drawn % 4096 == 7) return 50000 + drawn / 4096 % 250000;
    return drawn % 4 == 0 ? 8000 + drawn / 4096 % 12000 : sizeof(struct held) + drawn / 4096 % 200;
}

static void hold(struct held *block, size_t size) {
    memset(block, 0x55, size);
    block->mark = mark_of(block);
    block->size = size;
}

static void let_go(struct held *block) {
    if (block == NULL) return;
    CHECK(block->mark == mark_of(block));
    unsigned char last = ((unsigned char *)block)[block->size - 1];
    CHECK_WITH(block->size == sizeof *block || last == 0x55, last);
    block->mark = 0;
    free(block);
}

static void exchange(uint64_t seed, int steps) {
    uint64_t state = seed * 2654435761u + 88172645463325252u;
    for (int step = 0; step < steps; step++) {
        size_t place = next_random(&state) % PLACES, size = some_size(&state), way = next_random(&state) % 8;
        struct held *block = opaque(way % 2 ? malloc(size) : calloc(1, size));
        CHECK(block != NULL);
        for (size_t i = 0; way % 2 == 0 && i < size; i++) CHECK_WITH(((unsigned char *)block)[i] == 0, i);
        hold(block, size);
        if (way < 2) {
            block->mark = 0;
            block = opaque(realloc(block, size * 2 + 1));
            CHECK(block != NULL && block->size == size);
            hold(block, size * 2 + 1);
        }
        let_go(atomic_exchange(&places[place], block));
    }
}

static void *exchange_long(void *seed) {
    exchange((uintptr_t)seed, STEPS);
    return NULL;
}

static void *exchange_short(void *seed) {
    exchange((uintptr_t)seed, CHILD_STEPS);
    return NULL;
}

static void on_signal(int number) {
    (void)number;
    free(opaque(malloc(SIZE_IN_HANDLER)));
}

// The child has the heaps of threads that it does not have; its own threads get these heaps.
static void fork_and_go_on(uintptr_t seed) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(30);
        for (int turn = 0; turn < 2; turn++) {
            pthread_t threads[CHILD_THREADS];
            exchange(seed + 100, CHILD_STEPS);
            for (uintptr_t i = 0; i < CHILD_THREADS; i++) threads[i] = start(exchange_short, (void *)(seed + 200 + i));
            for (int i = 0; i < CHILD_THREADS; i++) join(threads[i]);
        }
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == 0, status);
}

int main(int count, char **arguments) {
    (void)arguments;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGPROF, &action, NULL) == 0);
    struct itimerval period = {{0, PERIOD_US}, {0, PERIOD_US}};
    // The time of the whole process passes, so the signals reach those threads that are running.
    if (count > 1) CHECK(setitimer(ITIMER_PROF, &period, NULL) == 0);
    for (uintptr_t round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start(exchange_long, (void *)(round * THREADS + i + 1));
        for (uintptr_t i = 0; count > 1 && i < CHILDREN; i++) fork_and_go_on(round * CHILDREN + i);
        for (int i = 0; i < THREADS; i++) join(threads[i]);
    }
    for (size_t i = 0; i < PLACES; i++) let_go(atomic_exchange(&places[i], NULL));
    return 0;
}
