// Nested forks: five processes signal one that churns and forks, and whose handlers fork, too, wherever they find it. A
// child of the first signal ends at once. One of the second returns to what was interrupted, and verifies and frees all
// that it inherited.
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include "stress.h"

enum { SENDERS = 5, HELD = 256, STEPS = 8, CHILD_STEPS = 40, MOST_PAUSE = 1000000 };

// How long one process is signalled.
#define SECONDS "0.5"

// Seen by all processes.
static struct account {
    atomic_int handling, over, begun, ended;
} *account;
static pid_t target;

// A child that a handler made meanwhile, and that returned from it, goes on here and has no such child.
static void await_own(pid_t child) {
    int how = 0;
    while (waitpid(child, &how, 0) != child) {
        if (errno == ECHILD && getpid() != target) return;
        CHECK(errno == EINTR);
    }
    judge_child(how);
}

static void on_signal(int number) {
    int before = errno;
    if (getpid() == target) atomic_fetch_add(&account->handling, 1);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0) {
        await_own(child);
        if (getpid() == target) atomic_fetch_sub(&account->handling, 1);
    } else if (number == SIGUSR1) {
        _exit(0);
    } else {
        alarm(CHILD_PATIENCE);
        atomic_fetch_add(&account->begun, 1);
    }
    errno = before;
}

static _Noreturn void send_signals(uint64_t seed) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!atomic_load(&account->over)) {
        struct timespec pause = {0, (long)(next_random(&seed) % MOST_PAUSE)};
        nanosleep(&pause, NULL);
        bool idle = atomic_load(&account->handling) == 0;
        if (idle && kill(target, next_random(&seed) % 2 ? SIGUSR1 : SIGUSR2) != 0) break;
    }
    _exit(0);
}

// The rest of the life of a child.
static _Noreturn void end_as_child(struct worker *worker, struct table *table) {
    table_verify(table);
    for (int i = 0; i < CHILD_STEPS; i++) table_step(worker, table);
    table_empty(worker, table, 0);
    atomic_fetch_add(&account->ended, 1);
    _exit(0);
}

static void churn_and_fork(struct worker *worker, struct table *table) {
    while (!time_is_up()) {
        for (int i = 0; i < STEPS; i++) {
            table_step(worker, table);
            if (getpid() != target) end_as_child(worker, table);
        }
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(CHILD_PATIENCE);
            atomic_fetch_add(&account->begun, 1);
        }
        if (getpid() != target) end_as_child(worker, table);
        await_own(child);
    }
}

// The process that is signalled. It never had a second thread: libc's own fork cannot be interrupted by another in one
// that had.
int fork_nested_target(const char *seconds, const char *seed) {
    sigset_t both;
    pid_t senders[SENDERS];
    struct worker worker;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    status_leave();
    watch_start();
    time_open(strtoull(seed, NULL, 10), strtod(seconds, NULL));
    worker_init(&worker, 1);
    struct table table = table_new(HELD, 4 * MIB);
    account = mmap(NULL, sizeof *account, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(account != MAP_FAILED);
    target = getpid();
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK(sigprocmask(SIG_BLOCK, &both, NULL) == 0);
    for (uint64_t i = 0; i < SENDERS; i++) {
        senders[i] = fork();
        CHECK(senders[i] >= 0);
        if (senders[i] == 0) send_signals(dice(&worker) + i);
    }
    CHECK(sigprocmask(SIG_UNBLOCK, &both, NULL) == 0);
    churn_and_fork(&worker, &table);
    CHECK(sigprocmask(SIG_BLOCK, &both, NULL) == 0);
    // Between the last fork and this line a handler may have made a child.
    if (getpid() != target) end_as_child(&worker, &table);
    atomic_store(&account->over, 1);
    for (int i = 0; i < SENDERS; i++) await_child(senders[i]);
    for (int i = 0; atomic_load(&account->begun) != atomic_load(&account->ended); i++) {
        if (i == CHILD_PATIENCE * 100) found("child", "%d children never came to their end", account->begun - account->ended);
        usleep(10000);
    }
    table_empty(&worker, &table, 0);
    CHECK_WITH(watch_left() == 0, watch_left());
    return 0;
}

void fork_nested(void) {
    for (unsigned turn = 0; turn == 0 || !time_is_up(); turn++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            char seed[16];
            snprintf(seed, sizeof seed, "%u", turn + 1);
            execl("/proc/self/exe", "stress", "nested-target", SECONDS, seed, (char *)NULL);
            _exit(EXIT_FOUND);
        }
        await_child(child);
        atomic_fetch_add(&status->slots[0].operations, 1);
    }
}
