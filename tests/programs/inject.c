// Runs a program and has the kernel refuse some of the memory system calls that libspandrel.so makes in it: those from number FIRST
// on, COUNT of them, counted over mmap, mprotect, madvise and mremap (0 0: none). The calls of everybody else go through.
// Arguments: FIRST COUNT PROGRAM ARGUMENTS... Prints how many calls there were, and how many of each kind failed.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "check.h"

static const int KINDS[] = {SYS_mmap, SYS_mprotect, SYS_madvise, SYS_mremap};
static const char *const NAMES[] = {"mmap", "mprotect", "madvise", "mremap"};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

#define TELL(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)

// Has the parent asked about every call of those kinds; the descriptor it is asked through.
static int listen_to_calls(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        TELL(SYS_mmap), TELL(SYS_mprotect), TELL(SYS_madvise), TELL(SYS_mremap),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

// Whether `address` lies in the code of the library in process `id`.
static bool is_ours(pid_t id, uint64_t address) {
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

static void supervise(int listener, long first, long count) {
    long calls = 0, failed = 0, kinds[KIND_COUNT] = {0};
    struct pollfd event = {.fd = listener, .events = POLLIN};
    while (poll(&event, 1, -1) >= 0 && (event.revents & POLLIN)) {
        struct seccomp_notif call = {0};
        struct seccomp_notif_resp answer = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
        answer.id = call.id;
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        if (is_ours((pid_t)call.pid, call.data.instruction_pointer)) {
            calls++;
            if (calls >= first && calls < first + count) {
                failed++;
                for (int kind = 0; kind < KIND_COUNT; kind++) kinds[kind] += call.data.nr == KINDS[kind];
                answer.flags = 0;
                answer.error = -ENOMEM;
            }
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    printf("calls=%ld failed=%ld", calls, failed);
    for (int kind = 0; kind < KIND_COUNT; kind++) printf(" %s=%ld", NAMES[kind], kinds[kind]);
    printf("\n");
}

int main(int argc, char **argv) {
    CHECK(argc >= 4);
    int there[2], back[2], number = -1;
    char go = 1;
    CHECK(pipe2(there, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        number = listen_to_calls();
        CHECK(write(there[1], &number, sizeof number) == sizeof number && read(back[0], &go, 1) == 1);
        CHECK(setenv("LD_PRELOAD", getenv("INJECT_PRELOAD"), 1) == 0);
        execv(argv[3], argv + 3);
        CHECK(false);
    }
    CHECK(read(there[0], &number, sizeof number) == sizeof number);
    if (number < 0) {
        printf("the kernel has no listener\n");
        return 77;
    }
    int process = (int)syscall(SYS_pidfd_open, child, 0);
    int listener = (int)syscall(SYS_pidfd_getfd, process, number, 0);
    CHECK(process >= 0 && listener >= 0 && write(back[1], &go, 1) == 1);
    supervise(listener, strtol(argv[1], NULL, 10), strtol(argv[2], NULL, 10));
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
