// Many threads that sleep: a process that forks beside a thousand, and one whose threads start and end beside ten
// thousand.
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include "stress.h"

enum {
    SLEEPERS_FORK = 1000,
    PIECES_FORK = 300,
    CHILD_STEPS = 3000,
    // Milliseconds of CPU time of one step of a child: far above what it may take, far below a walk over all heaps for
    // each block.
    MOST_MILLISECONDS = 200,
    SLEEPERS_START = 10000,
    PIECES_START = 4,
    FEWEST = 1000,
    STACK_BYTES = 64 << 10,
};

struct sleeper {
    struct worker worker;
    pthread_t thread;
    sem_t go_on;
    struct piece *pieces;
    int count;
};
static struct sleeper *sleepers;
// How many there are.
static int crowd;
static unsigned char *stacks;
static sem_t asleep;

static void put_pieces(struct worker *worker, struct sleeper *sleeper) {
    for (int i = 0; i < sleeper->count; i++)
        if (sleeper->pieces[i].at != NULL) piece_put(worker, &sleeper->pieces[i]);
}

static void *sleep_on_pieces(void *argument) {
    struct sleeper *sleeper = argument;
    for (int i = 0; i < sleeper->count; i++)
        piece_get(&sleeper->worker, &sleeper->pieces[i], size_of_small(&sleeper->worker, 512));
    for (int i = 0; i < sleeper->count; i += 3) piece_put(&sleeper->worker, &sleeper->pieces[i]);
    sem_post(&asleep);
    while (sem_wait(&sleeper->go_on) != 0) {}
    put_pieces(&sleeper->worker, sleeper);
    return NULL;
}

// On a stack of the checker's own: libc keeps others, and some blocks with each. False if there can be no more threads.
static bool start(struct sleeper *sleeper, uint32_t number) {
    pthread_attr_t attributes;
    worker_init(&sleeper->worker, number);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, stacks + (size_t)(sleeper - sleepers) * STACK_BYTES, STACK_BYTES) == 0);
    int error = pthread_create(&sleeper->thread, &attributes, sleep_on_pieces, sleeper);
    CHECK_WITH(error == 0 || error == EAGAIN, error);
    pthread_attr_destroy(&attributes);
    if (error == 0)
        while (sem_wait(&asleep) != 0) {}
    return error == 0;
}

static void wake(struct sleeper *sleeper) {
    sem_post(&sleeper->go_on);
    CHECK(pthread_join(sleeper->thread, NULL) == 0);
}

// Starts up to `count` threads that sleep on `pieces` each.
static void start_all(int count, int pieces) {
    sleepers = own_memory((size_t)count * sizeof *sleepers);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    stacks = mmap(NULL, (size_t)count * STACK_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    CHECK(stacks != MAP_FAILED && sem_init(&asleep, 0, 0) == 0);
    struct piece *all = own_memory((size_t)count * (size_t)pieces * sizeof *all);
    for (int i = 0; i < count; i++) {
        sleepers[i].pieces = all + (size_t)i * (size_t)pieces;
        sleepers[i].count = pieces;
        CHECK(sem_init(&sleepers[i].go_on, 0, 0) == 0);
        if (!start(&sleepers[i], (uint32_t)i + 1)) {
            CHECK_WITH(i >= FEWEST, i);
            return;
        }
        crowd = i + 1;
    }
}

static void wake_all(void) {
    for (int i = 0; i < crowd; i++) wake(&sleepers[i]);
}

static long milliseconds_of_thread(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

// The sleepers' blocks are the child's: it frees some of them, and takes memory that came free. No single call does all
// of the work.
static _Noreturn void live_as_child(struct worker *worker, bool forks) {
    alarm(CHILD_PATIENCE);
    struct table table = table_new(512, 8 * MIB);
    for (int i = 0; i < CHILD_STEPS; i++) {
        long before = milliseconds_of_thread();
        table_step(worker, &table);
        if (i % 8 == 0) put_pieces(worker, &sleepers[dice(worker) % (uint64_t)crowd]);
        long spent = milliseconds_of_thread() - before;
        if (spent > MOST_MILLISECONDS) found("child", "step %d of a child beside %d lost threads took %ld ms of CPU time", i, crowd, spent);
    }
    // In the midst of taking over what the lost threads had.
    pid_t child = forks ? fork() : -1;
    if (child == 0) live_as_child(worker, false);
    if (child > 0) await_child(child);
    table_verify(&table);
    table_empty(worker, &table, 0);
    for (int i = 0; i < crowd; i++)
        for (int k = 0; k < sleepers[i].count; k++)
            if (sleepers[i].pieces[k].at != NULL) piece_verify(&sleepers[i].pieces[k]);
    _exit(0);
}

void fork_crowd_set_up(void) { start_all(SLEEPERS_FORK, PIECES_FORK); }

void fork_crowd(void) {
    struct worker worker;
    worker_init(&worker, 0);
    do {
        pid_t child = fork();
        CHECK(child >= 0);
        worker.random += 2;
        if (child == 0) {
            status_leave();
            live_as_child(&worker, dice(&worker) % 2 == 0);
        }
        await_child(child);
    } while (!time_is_up());
    wake_all();
}

void thread_crowd_set_up(void) { start_all(SLEEPERS_START, PIECES_START); }

void thread_crowd(void) {
    struct worker worker;
    worker_init(&worker, 0);
    uint32_t born = (uint32_t)crowd;
    do {
        struct sleeper *sleeper = &sleepers[dice(&worker) % (uint64_t)crowd];
        wake(sleeper);
        CHECK(start(sleeper, ++born));
    } while (!time_is_up());
    wake_all();
}
