// Runs a program on a machine that libspandrel.so takes for one with two NUMA nodes. The supervisor answers its calls:
// there are two nodes, pages were placed as wanted, and each thread runs on one of them and moves to the other after
// STAY questions (0: never). Arguments: STAY PROGRAM ARGUMENTS... Prints how often pages were placed and how often a
// thread was on each node.
#include <sys/uio.h>
#include "supervise.h"

static const int KINDS[] = {SYS_get_mempolicy, SYS_mbind, SYS_getcpu};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

static long stay, placed, on[2];

static void tell(pid_t id, uint64_t address, const void *what, size_t bytes) {
    struct iovec from = {(void *)what, bytes}, to = {(void *)address, bytes};
    CHECK(process_vm_writev(id, &from, 1, &to, 1, 0) == (ssize_t)bytes);
}

static void decide(const struct seccomp_notif *call, struct seccomp_notif_resp *answer) {
    const uint64_t both = 3;
    const uint32_t moves = stay == 0 ? 0 : (uint32_t)((on[0] + on[1]) / stay), node = (call->pid + moves) % 2;
    answer->flags = 0;
    switch (call->data.nr) {
    case SYS_get_mempolicy: tell((pid_t)call->pid, call->data.args[1], &both, sizeof both); break;
    case SYS_mbind: placed++; break;
    case SYS_getcpu:
        tell((pid_t)call->pid, call->data.args[1], &node, sizeof node);
        on[node]++;
        break;
    }
}

int main(int argc, char **argv) {
    CHECK(argc >= 3);
    stay = strtol(argv[1], NULL, 10);
    pid_t child;
    int listener = supervised_start(argv + 2, KINDS, KIND_COUNT, &child);
    if (listener < 0) return NO_LISTENER;
    supervised_watch(listener, decide);
    printf("placed=%ld node0=%ld node1=%ld\n", placed, on[0], on[1]);
    return supervised_end(child);
}
