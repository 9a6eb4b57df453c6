// The walk follows code without tables by frame pointers; code with neither ends the call stack, without harm.
// expect: exit 0
// flags: -O1 -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fno-unwind-tables
// variants: preload linked static
#include "check.h"
#include "spandrel_weak.h"

#define DEPTH 64

static size_t frames[DEPTH], known[DEPTH];
static int depth_reached;

__attribute__((noinline, noclone)) static void step(int depth) {
    known[depth] = (size_t)__builtin_return_address(0);
    if (depth < 20) {
        step(depth + 1);
        barrier();
        return;
    }
    depth_reached = (int)spandrel_call_stack(frames, DEPTH);
}

int main(void) {
    step(0);
    CHECK_WITH(depth_reached > 21, depth_reached);
    // The first frame lies in the innermost step, the next one in its caller.
    for (int i = 0; i <= 20; i++) CHECK_WITH(frames[i + 1] == known[20 - i], i);
    // A frame pointer that leads nowhere.
    for (size_t wrong = 0; wrong < 4; wrong++) {
        static const size_t places[] = {8, 0x1234567, (size_t)1 << 62, 0x7fff00000008};
        size_t count, room = DEPTH, *into = frames;
        __asm__ volatile(
            "push %%rbp\n\tpush %%rbp\n\tmov %[place], %%rbp\n\tcall *%[function]\n\tpop %%rbp\n\tpop %%rbp"
            : "=a"(count), "+D"(into), "+S"(room)
            : [place] "r"(places[wrong]), [function] "b"(spandrel_call_stack)
            : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
        CHECK_WITH(count >= 1 && count <= 2, count);
    }
    return 0;
}
