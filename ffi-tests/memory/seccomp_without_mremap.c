// In a sandbox where madvise, mremap and membarrier fail, allocation, realloc of direct maps and purging still work (29).
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
// variants: preload linked static glibc
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "threads.h"

#define REFUSE(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static void *body(void *seed) {
    churn((uintptr_t)seed, 3000, 64, 100000);
    return NULL;
}

int main(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        REFUSE(SYS_madvise), REFUSE(SYS_mremap), REFUSE(SYS_membarrier), REFUSE(SYS_openat), REFUSE(SYS_sched_getaffinity),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    char *direct = opaque(malloc(40 * MIB));
    fill(direct, 5000, 1);
    direct = opaque(realloc(direct, 90 * MIB));
    CHECK(direct != NULL && holds(direct, 5000, 1));
    direct[90 * MIB - 1] = 1;
    direct = opaque(realloc(direct, 35 * MIB));
    CHECK(direct != NULL && holds(direct, 5000, 1));
    free(direct);
    for (int round = 0; round < 20; round++) {
        char *block = opaque(calloc(1, 2 * MIB));
        CHECK(block != NULL && all_zero(block, 2 * MIB));
        memset(block, 1, 2 * MIB);
        free(block);
    }
    pthread_t one = start(body, (void *)1), two = start(body, (void *)2);
    join(one);
    join(two);
    CHECK(malloc_trim(0) >= 0);
    return 0;
}
