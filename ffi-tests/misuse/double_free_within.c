// A signal handler that interrupts the allocator frees a block twice: both frees wait for a later call, which frees the
// block once, and reports it. The signal comes from a sandbox that catches a system call of free's.
// env: SPANDREL_PURGE_DELAY=0
// run: aborts
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: goes_on
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE
#include <signal.h>
#include <ucontext.h>
#include "sandbox.h"

#define SIZE (8 * MIB)

static void *volatile first;
static void *second;

static void on_call(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    if (first != NULL) {
        free(first);
        free(second);
        free(opaque(first));
        first = NULL;
    }
    // The call is refused.
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
}

int main(void) {
    alarm(20);
    // The purge that says whether purges work comes first.
    free(opaque(malloc(SIZE)));
    void *purged = opaque(malloc(SIZE));
    memset(purged, 1, SIZE);
    first = opaque(malloc(100));
    second = opaque(malloc(3000));
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSYS, &action, NULL) == 0);
    struct sock_filter rules[] = {LOOK_AT_CALL, ON_CALL(SYS_madvise, SECCOMP_RET_TRAP), ELSE(ALLOW)};
    ENTER_SANDBOX(rules);
    free(purged);
    CHECK(first == NULL);
    free(opaque(malloc(3 * MIB)));
    // Neither block is handed out twice.
    void *blocks[200];
    for (int i = 0; i < 200; i++) {
        blocks[i] = opaque(malloc(100));
        for (int k = 0; k < i; k++) CHECK_WITH(blocks[k] != blocks[i], i);
    }
    return 0;
}
