// A process that becomes idle. Argument: what it does.
//   calls, silent: threads fill 160 MiB with blocks of many sizes, free all but some and sleep; the first thread calls
//     malloc and free of small blocks now and then, or nothing at all. Resident memory has to fall to a tenth; with a
//     second argument, `stays`, more than a fifth has to stay, with `shrinks` less than a sixth. Then all threads wake
//     up and find their blocks unchanged.
//   waking: threads work, sleep for a moment and work on, while others drain their heaps.
//   large: the first thread frees large blocks and makes no more calls; their pages have to go back.
//   forked: a thread forks. In the child it allocates, frees and sleeps, while another one calls now and then: the
//     bins of the sleeping thread, and those of threads that the child does not have, have to be emptied.
//   alone: one thread fills memory, frees most of it in another order, and calls now and then.
//   seldom: the same, but its only calls are malloc and free of one small block, ten times a second.
//   sandbox: as soon as threads sleep, the kernel kills the process at any call that opens a file, asks about other
//     threads, or sends them a signal or a barrier; their bins have to be emptied all the same.
//   contexts: threads only allocate and free small blocks, all on the fast path; a timer interrupts them, and its
//     handler swaps to another context, which sleeps for longer than two rounds and then swaps back.
//   frequent: one thread frees most of a peak and then only allocates and frees one small block, 80000 times a second.
//   identity: threads sleep, and the first one changes the user of the process, for which libc signals all threads.
//   handlers: threads stay on the fast path, and a signal interrupts them whose handler sleeps, for some of them on an
//     alternate stack.
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include "context.h"
#include "proc.h"
#include "sandbox.h"
#include "spandrel_weak.h"
#include "threads.h"

enum { THREADS = 4, BLOCKS = 6000, KEPT = 64, PEAK_KIB = 160 * 1024 };

static atomic_bool stop;
static pthread_barrier_t meet;

static void nap(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0) CHECK(errno == EINTR);
}

static long resident(void) { return proc_number("/proc/self/status", "VmRSS:"); }

// Mostly small, up to 40000 bytes; of the sum of all of them three quarters of the peak are sure.
static size_t size_of(size_t index) {
    uint64_t state = index * 0x9e3779b97f4a7c15u + 1;
    size_t shift = next_random(&state) % 8, base = 300u << shift;
    return base - next_random(&state) % (base / 16);
}

static void *sleeper(void *number) {
    static char *blocks[THREADS][BLOCKS];
    size_t self = (uintptr_t)number;
    char **own = blocks[self];
    for (size_t i = 0; i < BLOCKS; i++) fill(own[i] = opaque(malloc(size_of(i))), size_of(i), i + self);
    pthread_barrier_wait(&meet);
    pthread_barrier_wait(&meet);
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t at = i * 3389 % BLOCKS;
        if (at % KEPT != 0) free(own[at]);
    }
    pthread_barrier_wait(&meet);
    pthread_barrier_wait(&meet);
    for (size_t i = 0; i < BLOCKS; i += KEPT) CHECK_WITH(holds(own[i], size_of(i), i + self), i);
    churn(self, 3000, 200, 3000);
    for (size_t i = 0; i < BLOCKS; i += KEPT) {
        CHECK_WITH(holds(own[i], size_of(i), i + self), i);
        free(own[i]);
    }
    return NULL;
}

static void go_quiet(bool calls, bool stays, bool shrinks) {
    pthread_t threads[THREADS];
    CHECK(pthread_barrier_init(&meet, NULL, THREADS + 1) == 0);
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start(sleeper, (void *)i);
    pthread_barrier_wait(&meet);
    long full = resident(), now = full;
    CHECK_WITH(full >= PEAK_KIB * 3 / 4, full);
    pthread_barrier_wait(&meet);
    pthread_barrier_wait(&meet);
    for (int turn = 0; turn < (stays ? 60 : 400) && now > full / (shrinks ? 6 : 10); turn++, now = resident()) {
        nap(50);
        if (!calls) continue;
        for (int i = 0; i < 3; i++) free(opaque(malloc(64)));
    }
    printf("full=%ld now=%ld\n", full / 1024, now / 1024);
    CHECK_WITH(stays ? now > full / 5 : now <= full / (shrinks ? 6 : 10), now);
    pthread_barrier_wait(&meet);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
}

// Refills, flushes, new and recycled spans: such slow calls drain the heaps of sleeping threads.
static void *works(void *number) {
    while (!stop) {
        churn((uintptr_t)number, 2000, 200, 4000);
        nap(1);
    }
    return NULL;
}

static void *works_and_sleeps(void *number) {
    uint64_t state = (uintptr_t)number * 77 + 5;
    while (!stop) {
        churn((uintptr_t)number, 500 + (int)(next_random(&state) % 3000), 100, 2000);
        nap((long)(next_random(&state) % 4 == 0 ? 250 : next_random(&state) % 20));
        if (next_random(&state) % 64 == 0) {
            pid_t child = fork();
            CHECK(child >= 0);
            if (child == 0) {
                churn(7, 2000, 100, 3000);
                _exit(0);
            }
            int status;
            CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
    }
    return NULL;
}

static void work_and_sleep(int seconds) {
    pthread_t threads[6];
    threads[0] = start(works, (void *)1);
    for (uintptr_t i = 1; i < 6; i++) threads[i] = start(works_and_sleeps, (void *)i);
    nap(seconds * 1000);
    stop = true;
    for (int i = 0; i < 6; i++) join(threads[i]);
}

static void free_large(void) {
    enum { LARGE = 3 };
    char *blocks[LARGE];
    for (int i = 0; i < LARGE; i++) memset(blocks[i] = opaque(malloc(8 * MIB)), 1, 8 * MIB);
    nap(2000);
    long full = resident(), now = full;
    for (int i = 0; i < LARGE; i++) free(blocks[i]);
    for (int turn = 0; turn < 400 && now > full / 4; turn++, now = resident()) nap(10);
    printf("full=%ld now=%ld\n", full / 1024, now / 1024);
    CHECK_WITH(now <= full / 4, now);
}

static size_t binned(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.binned_bytes;
}

// Calls with sizes that the bins may lack.
static void call_now_and_then(int turn) {
    for (int i = 0; i < 3; i++) free(opaque(malloc(64 + (size_t)(turn * 3 + i) % 40 * 100)));
}

static void *calls_now_and_then(void *full) {
    size_t now = binned(), enough = (uintptr_t)full / 4;
    for (int turn = 0; turn < 400 && now > enough; turn++, now = binned()) {
        nap(20);
        call_now_and_then(turn);
    }
    printf("full=%zu now=%zu\n", (size_t)full, now);
    CHECK_WITH(now <= enough, now);
    return NULL;
}

static void fill_bins(void) {
    // Small ones: a bin keeps one block of each size.
    enum { FREED = 6000 };
    char *blocks[FREED];
    for (size_t i = 0; i < FREED; i++) blocks[i] = opaque(malloc(16 + size_of(i) % 1000));
    for (size_t i = 0; i < FREED; i++) free(blocks[i]);
}

static void be_alone(bool seldom) {
    static char *blocks[PEAK_KIB / 4];
    for (size_t i = 0; i < PEAK_KIB / 4; i++) memset(blocks[i] = opaque(malloc(1 + i % 8 * 1000)), 1, 1 + i % 8 * 1000);
    long full = resident(), now = full;
    for (size_t i = 0; i < PEAK_KIB / 4; i++) {
        size_t at = i * 3389 % (PEAK_KIB / 4);
        if (at % KEPT != 0) free(blocks[at]);
    }
    for (int turn = 0; turn < 400 && now > full / 10; turn++, now = resident()) {
        nap(seldom ? 100 : 20);
        if (seldom) free(opaque(malloc(64)));
        else call_now_and_then(turn);
    }
    printf("full=%ld now=%ld\n", full / 1024, now / 1024);
    CHECK_WITH(now <= full / 10, now);
}

static void *forks(void *unused) {
    fill_bins();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        fill_bins();
        join(start(calls_now_and_then, (void *)binned()));
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return unused;
}

static void fork_from_a_thread(void) {
    fill_bins();
    join(start(forks, NULL));
}

static void *sleeps(void *unused) {
    fill_bins();
    while (!stop) nap(200);
    return unused;
}

static void sleep_in_a_sandbox(void) {
    struct sock_filter rules[] = {
        LOOK_AT_CALL,
        ON_CALL(SYS_open, KILL), ON_CALL(SYS_openat, KILL), ON_CALL(SYS_tgkill, KILL), ON_CALL(SYS_membarrier, KILL),
        ON_CALL(SYS_process_vm_readv, KILL), ON_CALL(SYS_ptrace, KILL),
        ELSE(ALLOW),
    };
    pthread_t thread = start(sleeps, NULL), other = start(sleeps, NULL);
    nap(100);
    ENTER_SANDBOX(rules);
    calls_now_and_then((void *)binned());
    stop = true;
    join(thread);
    join(other);
}

static void change_identity(void) {
    pthread_t thread = start(sleeps, NULL);
    fill_bins();
    nap(500);
    CHECK(setgid(getgid()) == 0 && setuid(getuid()) == 0);
    stop = true;
    join(thread);
}

static void sleep_in_handler(int signal) {
    CHECK(signal == SIGUSR1);
    nap(150);
}

// Takes blocks out of bins and back all the time, each filled so that a second owner would show.
static void *only_hits(void *number) {
    enum { DEPTH = 6 };
    uint64_t tag = (uintptr_t)number;
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    CHECK(tag % 2 == 0 || sigaltstack(&stack, NULL) == 0);
    for (uint64_t turn = 0; !stop; turn++) {
        uint64_t *blocks[DEPTH], size = 16 + turn % 4 * 48;
        for (uint64_t i = 0; i < DEPTH; i++) *(blocks[i] = opaque(malloc(size))) = tag << 32 | i;
        for (uint64_t i = 0; i < DEPTH; i++) {
            CHECK_WITH(*blocks[i] == (tag << 32 | i), *blocks[i]);
            free(blocks[i]);
        }
    }
    return NULL;
}

enum { CONTEXT_STACK = 1 << 16 };
static _Thread_local ucontext_t interrupted, elsewhere;

static void sleep_elsewhere(void) {
    for (;;) {
        nap(250);
        CHECK(swapcontext(&elsewhere, &interrupted) == 0);
    }
}

static void swap_away(int signal) {
    CHECK(signal == SIGUSR1);
    int before = errno;
    CHECK(swapcontext(&interrupted, &elsewhere) == 0);
    errno = before;
}

static void *hits_on_a_context(void *number) {
    // Above the interrupted frames, so that a scan of the stack from there on would not find them.
    char stack[CONTEXT_STACK];
    make_context(&elsewhere, opaque(stack), CONTEXT_STACK, NULL, sleep_elsewhere);
    sigaddset(&elsewhere.uc_sigmask, SIGUSR1);
    return only_hits(number);
}

static void interrupt_hits(void (*handler)(int), void *(*hits)(void *), int seconds) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    if (handler == swap_away) action.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    pthread_t threads[THREADS], other = start(works, (void *)9);
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start(hits, (void *)(handler == swap_away ? 2 * i : i));
    uint64_t state = 42;
    nap(20);
    for (int elapsed = 0; elapsed < seconds * 1000;) {
        long pause = 1 + (long)(next_random(&state) % 60);
        nap(pause);
        elapsed += (int)pause;
        CHECK(pthread_kill(threads[next_random(&state) % THREADS], SIGUSR1) == 0);
    }
    stop = true;
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    join(other);
}

static void call_one_size(void) {
    static char *blocks[PEAK_KIB];
    for (size_t i = 0; i < PEAK_KIB; i++) memset(blocks[i] = opaque(malloc(1000)), 1, 1000);
    long full = resident(), now = full;
    for (size_t i = 0; i < PEAK_KIB; i++) {
        size_t at = i * 3389 % PEAK_KIB;
        if (at % KEPT != 0) free(blocks[at]);
    }
    for (int turn = 0; turn < 400 && now > full / 8; turn++, now = resident()) {
        for (int piece = 0; piece < 100; piece++) {
            for (int i = 0; i < 80; i++) free(opaque(malloc(64)));
            nap(1);
        }
    }
    printf("full=%ld now=%ld\n", full / 1024, now / 1024);
    CHECK_WITH(now <= full / 8, now);
}

int main(int argc, char **argv) {
    CHECK(argc == 2 || argc == 3);
    bool stays = argc == 3 && strcmp(argv[2], "stays") == 0, shrinks = argc == 3 && strcmp(argv[2], "shrinks") == 0;
    int seconds = argc == 3 && !stays && !shrinks ? atoi(argv[2]) : 5;
    if (strcmp(argv[1], "waking") == 0) work_and_sleep(seconds);
    else if (strcmp(argv[1], "handlers") == 0) interrupt_hits(sleep_in_handler, only_hits, seconds);
    else if (strcmp(argv[1], "contexts") == 0) interrupt_hits(swap_away, hits_on_a_context, seconds);
    else if (strcmp(argv[1], "frequent") == 0) call_one_size();
    else if (strcmp(argv[1], "large") == 0) free_large();
    else if (strcmp(argv[1], "forked") == 0) fork_from_a_thread();
    else if (strcmp(argv[1], "identity") == 0) change_identity();
    else if (strcmp(argv[1], "sandbox") == 0) sleep_in_a_sandbox();
    else if (strcmp(argv[1], "alone") == 0) be_alone(false);
    else if (strcmp(argv[1], "seldom") == 0) be_alone(true);
    else go_quiet(strcmp(argv[1], "calls") == 0, stays, shrinks);
    return 0;
}
