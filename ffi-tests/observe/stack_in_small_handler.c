// A signal handler takes the program's first call stack, with no frame in the cache, on an alternate stack with room
// for 4 KiB beside the kernel's frame. Below that stack lies a gap, so an overflow ends the program.
// expect: exit 0
// flags: -O2 -Wl,-z,now
// variants: preload linked static
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include "check.h"
#include "spandrel_weak.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define ROOM (4 * KIB)
#define GAP (64 * KIB)
#define DEPTH 64

static size_t frames[DEPTH], count;

static void on_signal(int number) {
    (void)number;
    count = spandrel_call_stack(frames, DEPTH);
}

__attribute__((noinline, noclone)) static void nested(int depth) {
    if (depth > 0) nested(depth - 1);
    else CHECK(raise(SIGUSR1) == 0);
    barrier();
}

int main(void) {
    size_t frame = getauxval(AT_MINSIGSTKSZ), size = (frame != 0 ? frame : (size_t)MINSIGSTKSZ) + ROOM;
    char *low = mmap(NULL, GAP + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(low != MAP_FAILED && mprotect(low, GAP, PROT_NONE) == 0);
    stack_t small = {.ss_sp = low + GAP, .ss_size = size};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    CHECK(sigaltstack(&small, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    nested(10);
    // At least the frames of the handler, the kernel, raise and the nested calls.
    CHECK_WITH(count > 13, count);
    return 0;
}
