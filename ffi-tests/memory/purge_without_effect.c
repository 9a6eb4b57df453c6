// Where madvise says yes and does nothing (emulators do), no block of calloc's holds old bytes, and purging ends (29, 30).
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
// variants: preload linked static glibc
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "check.h"

int main(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    static const size_t sizes[] = {40000, 200000, 3 * MIB, 6 * MIB, 20 * MIB};
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char *block = opaque(calloc(1, sizes[i]));
            CHECK_WITH(block != NULL && all_zero(block, sizes[i]), sizes[i]);
            fill(block, sizes[i], 1);
            free(block);
        }
        malloc_trim(0);
    }
    return 0;
}
