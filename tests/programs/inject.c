// Runs a program and has the kernel refuse some of the memory system calls that libspandrel.so makes in it: those from
// number FIRST on, COUNT of them, counted over mmap, mprotect, madvise and mremap (0 0: none). All other calls
// go through. Arguments: FIRST COUNT PROGRAM ARGUMENTS... Prints how many calls there were, and how many of each
// kind failed.
#include "supervise.h"

static const int KINDS[] = {SYS_mmap, SYS_mprotect, SYS_madvise, SYS_mremap};
static const char *const NAMES[] = {"mmap", "mprotect", "madvise", "mremap"};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

static long first, count, calls, failed, kinds[KIND_COUNT];

static void decide(const struct seccomp_notif *call, struct seccomp_notif_resp *answer) {
    calls++;
    if (calls < first || calls >= first + count) return;
    failed++;
    for (int kind = 0; kind < KIND_COUNT; kind++) kinds[kind] += call->data.nr == KINDS[kind];
    answer->flags = 0;
    answer->error = -ENOMEM;
}

int main(int argc, char **argv) {
    CHECK(argc >= 4);
    first = strtol(argv[1], NULL, 10);
    count = strtol(argv[2], NULL, 10);
    pid_t child;
    int listener = supervised_start(argv + 3, KINDS, KIND_COUNT, &child);
    if (listener < 0) return NO_LISTENER;
    supervised_watch(listener, decide);
    printf("calls=%ld failed=%ld", calls, failed);
    for (int kind = 0; kind < KIND_COUNT; kind++) printf(" %s=%ld", NAMES[kind], kinds[kind]);
    printf("\n");
    return supervised_end(child);
}
