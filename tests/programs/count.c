// Runs a program and counts the memory system calls that libspandrel.so makes in it, in each part between two marks.
// Arguments: PROGRAM ARGUMENTS... Prints a line for each part: how many calls of each kind, and how many bytes were
// purged.
#include "supervise.h"

static const int KINDS[] = {SYS_mmap, SYS_mprotect, SYS_madvise, SYS_mremap, SYS_munmap, SYS_mlock, SYS_brk, SYS_mbind};
static const char *const NAMES[] = {"mmap", "mprotect", "madvise", "mremap", "munmap", "mlock", "brk", "mbind"};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS, PARTS = 16 };

static struct { long calls[KIND_COUNT], purged; } parts[PARTS];
static int part;

static void decide(const struct seccomp_notif *call, struct seccomp_notif_resp *answer) {
    (void)answer;
    if (supervised_is_mark(&call->data)) {
        part++;
        CHECK(part < PARTS);
        return;
    }
    for (int kind = 0; kind < KIND_COUNT; kind++) parts[part].calls[kind] += call->data.nr == KINDS[kind];
    if (call->data.nr == SYS_madvise && call->data.args[2] == MADV_DONTNEED)
        parts[part].purged += (long)call->data.args[1];
}

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    pid_t child;
    int listener = supervised_start(argv + 1, KINDS, KIND_COUNT, &child);
    if (listener < 0) return NO_LISTENER;
    supervised_watch(listener, decide);
    for (int index = 0; index <= part; index++) {
        for (int kind = 0; kind < KIND_COUNT; kind++)
            printf("%d.%s=%ld ", index, NAMES[kind], parts[index].calls[kind]);
        printf("%d.purged=%ld\n", index, parts[index].purged);
    }
    return supervised_end(child);
}
