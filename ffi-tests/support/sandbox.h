// System calls that the kernel refuses, or ends the process for. A sandbox begins with LOOK_AT_CALL and ends with ELSE.
#ifndef SANDBOX_H
#define SANDBOX_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "check.h"

#define LOOK_AT_CALL BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ON_CALL(number, verdict) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, verdict)
#define ELSE(verdict) BPF_STMT(BPF_RET | BPF_K, verdict)

// The verdicts. `REFUSE(0)` lets the program believe that the call was made.
#define ALLOW SECCOMP_RET_ALLOW
#define KILL SECCOMP_RET_KILL_PROCESS
#define REFUSE(error) (SECCOMP_RET_ERRNO | (error))

// Puts the rules into force, for all threads and to the end of the process.
static inline void enter_sandbox(struct sock_filter *rules, size_t count) {
    struct sock_fprog program = {(unsigned short)count, rules};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0);
}

#define ENTER_SANDBOX(rules) enter_sandbox(rules, sizeof(rules) / sizeof *(rules))

#endif
