// Five processes signal a forking, allocating parent whose handlers fork, too: inside malloc and free, inside fork,
// inside one another. No process hangs, and every child finds its blocks whole. A child of the first signal ends in the
// handler; a child of the second returns to the interrupted code, unless the process has more threads. With more
// threads the program also blocks the signals during libc's fork (11, 36).
// expect: exit 0
// timeout: 120
// variants: preload linked static
// run: alone
// args: 2000 0
// run: threads
// args: 2000 2
// run: counting
// args: 1000 0
// env: SPANDREL_MODE=counting
// run: tracked
// args: 1000 0
// env: SPANDREL_MODE=tracked
// run: hardened
// args: 1000 0
// env: SPANDREL_MODE=hardened
// run: guarded
// args: 1000 0
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=100
// run: custom
// args: 1000 0
// env: SPANDREL_PLUGIN=$FFI_OUT/helper_alloc_plugin.so
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include "threads.h"

enum { SENDERS = 5, HELD = 64, PATIENCE = 30 };
// Forks of handlers that there have to be, and the seconds more that they may take.
enum { LEAST = 5, MORE = 3 };

// Shared by all processes.
struct account {
    atomic_int stop, handling, handled, begun, ended;
};
static struct account *account;
static pid_t parent;
static int beside;
static atomic_bool stop_threads;
static unsigned char *held[HELD];
static size_t sizes[HELD];

// A child that returned from a handler goes on where its parent waited for a child that this process does not have.
static void await(pid_t child) {
    int status = 0;
    pid_t found;
    while ((found = waitpid(child, &status, 0)) < 0 && errno == EINTR) {}
    if (found < 0 && errno == ECHILD && getpid() != parent) return;
    CHECK_WITH(found == child, found);
    CHECK_WITH(WIFEXITED(status) && WEXITSTATUS(status) == 0, status);
}

static void on_signal(int number) {
    int before = errno;
    if (getpid() == parent) atomic_fetch_add(&account->handling, 1);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(PATIENCE);
        if (number == SIGUSR1 || beside > 0) _exit(0);
        atomic_fetch_add(&account->begun, 1);
    } else {
        await(child);
        if (getpid() == parent) {
            atomic_fetch_add(&account->handled, 1);
            atomic_fetch_sub(&account->handling, 1);
        }
    }
    errno = before;
}

static void step(uint64_t *state) {
    size_t slot = next_random(state) % HELD;
    size_t size = next_random(state) % 16 == 0 ? 1 + next_random(state) % (300 * KIB) : 1 + next_random(state) % 3000;
    if (held[slot] != NULL)
        CHECK(held[slot][0] == (unsigned char)slot && held[slot][sizes[slot] - 1] == (unsigned char)slot);
    if (held[slot] != NULL && size % 3 == 0) {
        held[slot] = opaque(realloc(held[slot], size));
    } else {
        free(held[slot]);
        held[slot] = opaque(malloc(size));
    }
    CHECK(held[slot] != NULL);
    sizes[slot] = size;
    held[slot][0] = held[slot][size - 1] = (unsigned char)slot;
}

// The rest of a child's life.
static _Noreturn void finish(uint64_t *state) {
    for (int i = 0; i < 500; i++) step(state);
    for (int i = 0; i < HELD; i++) free(held[i]);
    atomic_fetch_add(&account->ended, 1);
    _exit(0);
}

static void *contend(void *seed) {
    while (!stop_threads) churn((uintptr_t)seed, 300, 64, 3000);
    return NULL;
}

// Leaves the parent time for its own work.
static _Noreturn void send(uint64_t seed) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!account->stop) {
        struct timespec pause = {0, (long)(next_random(&seed) % 2000000)};
        nanosleep(&pause, NULL);
        if (account->handling == 0 && kill(parent, next_random(&seed) % 2 ? SIGUSR1 : SIGUSR2) != 0) break;
    }
    _exit(0);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **arguments) {
    CHECK(count == 3);
    beside = atoi(arguments[2]);
    parent = getpid();
    alarm(100);
    // A plugin is loaded by the first call. A child that went on loading it, too, would move the file offset of both.
    free(opaque(malloc(1)));
    account = mmap(NULL, sizeof *account, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(account != MAP_FAILED);
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    // The other threads block the signals.
    CHECK(pthread_sigmask(SIG_BLOCK, &both, NULL) == 0);
    pthread_t threads[8];
    for (int i = 0; i < beside; i++) threads[i] = start(contend, (void *)(uintptr_t)(i + 1));
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    // In a process with threads no fork may interrupt libc's own fork: it would wait for ever for a lock of libc's.
    if (beside > 0) action.sa_mask = both;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
    pid_t senders[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = fork();
        CHECK(senders[i] >= 0);
        if (senders[i] == 0) send((uint64_t)i + 1);
    }
    CHECK(pthread_sigmask(SIG_UNBLOCK, &both, NULL) == 0);
    uint64_t state = 88172645463325252u;
    double end = now() + atoi(arguments[1]) / 1000.0;
    // A loaded machine makes few forks. A process that waits for a lock of its own makes hardly any.
    while (now() < end || (account->handled < LEAST && now() < end + MORE)) {
        for (int i = 0; i < 200; i++) {
            step(&state);
            if (getpid() != parent) finish(&state);
        }
        if (beside > 0) pthread_sigmask(SIG_BLOCK, &both, NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(PATIENCE);
            atomic_fetch_add(&account->begun, 1);
            finish(&state);
        }
        if (beside > 0) pthread_sigmask(SIG_UNBLOCK, &both, NULL);
        // A child that a handler forked returned to here; init waits for the child of its own.
        if (getpid() != parent) finish(&state);
        await(child);
    }
    CHECK(pthread_sigmask(SIG_BLOCK, &both, NULL) == 0);
    if (getpid() != parent) finish(&state);
    account->stop = 1;
    stop_threads = true;
    for (int i = 0; i < beside; i++) join(threads[i]);
    for (int i = 0; i < SENDERS; i++) await(senders[i]);
    // The children that are left.
    for (int i = 0; account->begun != account->ended; i++) {
        CHECK_WITH(i < PATIENCE * 100, account->begun - account->ended);
        usleep(10000);
    }
    CHECK_WITH(account->handled >= LEAST, account->handled);
    return 0;
}
