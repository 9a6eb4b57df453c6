// Counts the page faults of writing to fresh blocks.
// Argument: size of the blocks. With a second, `old`, the kernel does not know MADV_POPULATE_WRITE.
#include <sys/resource.h>
#include "sandbox.h"

#define TOTAL (64 * MIB)
#define POPULATE_WRITE 23

static long faults(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt;
}

static void forget_populate(void) {
    struct sock_filter rules[] = {
        LOOK_AT_CALL,
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, POPULATE_WRITE, 0, 1),
        ELSE(REFUSE(EINVAL)),
        ELSE(ALLOW),
    };
    ENTER_SANDBOX(rules);
}

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    if (argc == 3) forget_populate();
    size_t size = strtoull(argv[1], NULL, 10), count = TOTAL / size;
    char **blocks = malloc(count * sizeof *blocks);
    CHECK(blocks != NULL);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = opaque(calloc(1, size));
        CHECK(blocks[i] != NULL);
    }
    long before = faults();
    for (size_t i = 0; i < count; i++) {
        CHECK(all_zero(blocks[i], size));
        fill(blocks[i], size, 1);
    }
    printf("faults=%ld\n", faults() - before);
    return 0;
}
