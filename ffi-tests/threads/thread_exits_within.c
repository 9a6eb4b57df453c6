// A signal handler jumps out of a call of free, and its thread ends: the thread can be joined, and other threads go on.
// A handler that ends its thread there is the same. The signal comes from a sandbox that catches a system call of
// free's.
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
// run: jumps
// args: jumps
// run: ends
// args: ends
// variants: preload linked
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>
#include "sandbox.h"
#include "threads.h"

#define SIZE (8 * MIB)

static __thread sigjmp_buf before;
static __thread bool is_within;
static bool ends;

static void on_call(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    if (!is_within) {
        // Other calls of it are refused.
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
        return;
    }
    is_within = false;
    if (ends) pthread_exit(NULL);
    siglongjmp(before, 1);
}

static void *leave_free(void *block) {
    if (sigsetjmp(before, 1) == 0) {
        is_within = true;
        free(block);
        // Not reached: the call purges the block's pages.
        CHECK(false);
    }
    // libc serves this thread from here on.
    void *small = opaque(malloc(100));
    CHECK(small != NULL);
    free(small);
    return NULL;
}

static void *work(void *seed) {
    churn((uintptr_t)seed, 2000, 64, 100000);
    return NULL;
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    ends = strcmp(arguments[1], "ends") == 0;
    alarm(20);
    // The purge that says whether purges work comes first.
    free(opaque(malloc(SIZE)));
    void *blocks[3];
    for (int i = 0; i < 3; i++) memset(blocks[i] = opaque(malloc(SIZE)), i, SIZE);
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSYS, &action, NULL) == 0);
    // Of a block, and not of a stack: libc gives back that of a thread whose signals are blocked.
    struct sock_filter rules[] = {
        LOOK_AT_CALL,
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SIZE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        ELSE(ALLOW),
    };
    ENTER_SANDBOX(rules);
    for (int i = 0; i < 3; i++) {
        join(start(leave_free, blocks[i]));
        pthread_t others[2];
        for (int k = 0; k < 2; k++) others[k] = start(work, (void *)(uintptr_t)(i + k));
        for (int k = 0; k < 2; k++) join(others[k]);
        churn(7, 2000, 64, 100000);
    }
    return 0;
}
