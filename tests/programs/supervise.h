// Runs a program preloaded, and answers some of its system calls and those of its children.
#ifndef SUPERVISE_H
#define SUPERVISE_H

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "check.h"
#include "mark.h"

enum { SUPERVISED_MAX = 8, NO_LISTENER = 77 };

// Has the kernel pass every call with one of these numbers to the parent; the descriptor for that.
static int supervised_listen(const int *numbers, size_t count) {
    struct sock_filter rules[SUPERVISED_MAX * 2 + 2];
    size_t used = 0;
    CHECK(count <= SUPERVISED_MAX);
    rules[used++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t index = 0; index < count; index++) {
        rules[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)numbers[index], 0, 1);
        rules[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    }
    rules[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {(unsigned short)used, rules};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

// Whether `address` lies in the code of the library in process `id`.
static bool supervised_is_ours(pid_t id, uint64_t address) {
    static uint64_t low, high;
    if (high == 0) {
        char path[64], line[512];
        snprintf(path, sizeof path, "/proc/%d/maps", id);
        FILE *maps = fopen(path, "r");
        CHECK(maps != NULL);
        while (fgets(line, sizeof line, maps) != NULL)
            if (strstr(line, "libspandrel.so") != NULL && strstr(line, " r-xp ") != NULL)
                CHECK(sscanf(line, "%lx-%lx", &low, &high) == 2);
        fclose(maps);
    }
    return address >= low && address < high;
}

// Starts `program` with the library that the environment names in SUPERVISED_PRELOAD. The descriptor of its calls; -1
// if the kernel has none.
static int supervised_start(char **program, const int *numbers, size_t count, pid_t *child) {
    int there[2], back[2], number = -1;
    char go = 1;
    CHECK(pipe2(there, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0);
    *child = fork();
    CHECK(*child >= 0);
    if (*child == 0) {
        number = supervised_listen(numbers, count);
        CHECK(write(there[1], &number, sizeof number) == sizeof number && read(back[0], &go, 1) == 1);
        CHECK(setenv("LD_PRELOAD", getenv("SUPERVISED_PRELOAD"), 1) == 0);
        execv(program[0], program);
        CHECK(false);
    }
    CHECK(read(there[0], &number, sizeof number) == sizeof number);
    if (number < 0) {
        printf("the kernel has no listener\n");
        return -1;
    }
    int process = (int)syscall(SYS_pidfd_open, *child, 0);
    int listener = (int)syscall(SYS_pidfd_getfd, process, number, 0);
    CHECK(process >= 0 && listener >= 0 && write(back[1], &go, 1) == 1);
    return listener;
}

// Whether this is no call of the library, but a mark that the program makes.
static bool supervised_is_mark(const struct seccomp_data *call) {
    return call->nr == SYS_madvise && call->args[1] == 0 && call->args[2] == MARK;
}

// Calls `decide` for each call of the library and each mark of the program, until all of its processes have ended. An
// answer that `decide` leaves as it is lets the call go through.
static void supervised_watch(int listener, void (*decide)(const struct seccomp_notif *, struct seccomp_notif_resp *)) {
    struct pollfd event = {.fd = listener, .events = POLLIN};
    while (poll(&event, 1, -1) >= 0 && (event.revents & POLLIN)) {
        struct seccomp_notif call = {0};
        struct seccomp_notif_resp answer = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
        answer.id = call.id;
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        bool ours = supervised_is_ours((pid_t)call.pid, call.data.instruction_pointer);
        if (ours || supervised_is_mark(&call.data)) decide(&call, &answer);
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

// The status that the child ended with, as a shell would have it.
static int supervised_end(pid_t child) {
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
