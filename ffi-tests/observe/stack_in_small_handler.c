// A signal handler takes the program's first call stack, with no frame in the cache, on an alternate stack with room
// for 4 KiB beside the kernel's frame. Below that stack lies a gap, so an overflow ends the program.
// expect: exit 0
// flags: -O2 -Wl,-z,now
// variants: preload linked static
#include "check.h"
#include "small_stack.h"
#include "spandrel_weak.h"

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
    handle_on_small_stack(SIGUSR1, on_signal, 4 * KIB);
    nested(10);
    // At least the frames of the handler, the kernel, raise and the nested calls.
    CHECK_WITH(count > 13, count);
    return 0;
}
