// The walk passes code that was made at run time and has no table: by a frame that the code makes, and, where it makes
// none and the frame pointer leads nowhere, by its end, as in CPython's trampolines for perf.
// expect: exit 0
// flags: -O1 -fomit-frame-pointer
// variants: preload linked static
#include <sys/mman.h>
#include "check.h"
#include "spandrel_weak.h"

#define STEPS 15
#define FRAMES 64

// Both call what is in rcx, and end 6 bytes behind their start.
static const unsigned char kinds[2][12] = {
    {0x48, 0x83, 0xec, 0x08, 0xff, 0xd1, 0x48, 0x83, 0xc4, 0x08, 0xc3}, // sub rsp, 8; call rcx; add rsp, 8; ret
    {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd1, 0x5d, 0xc3}, // push rbp; mov rbp, rsp; call rcx; pop rbp; ret
};
#define RETURNS 6

// Calls code for a function, with a frame pointer.
void call_with(void *code, void (*function)(void), size_t frame_pointer);
__asm__(
    ".text\n"
    ".type call_with, @function\n"
    "call_with:\n"
    ".cfi_startproc\n"
    "push %rbp\n"
    ".cfi_adjust_cfa_offset 8\n"
    ".cfi_rel_offset %rbp, 0\n"
    "mov %rdx, %rbp\n"
    "mov %rsi, %rcx\n"
    "call *%rdi\n"
    "pop %rbp\n"
    ".cfi_adjust_cfa_offset -8\n"
    ".cfi_restore %rbp\n"
    "ret\n"
    ".cfi_endproc\n"
    ".size call_with, . - call_with\n");

static unsigned char *code;
static size_t frames[FRAMES], first, nowhere, count;
static int depth;

__attribute__((noinline, noclone)) static void step(void) {
    if (depth == 0) first = (size_t)__builtin_return_address(0);
    if (depth == STEPS) {
        count = spandrel_call_stack(frames, FRAMES);
        return;
    }
    depth++;
    call_with(code + depth % 2 * sizeof kinds[0], step, nowhere);
    barrier();
}

int main(void) {
    code = mmap(NULL, sizeof kinds, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(code != MAP_FAILED);
    memcpy(code, kinds, sizeof kinds);
    CHECK(mprotect(code, sizeof kinds, PROT_READ | PROT_EXEC) == 0);
    static const size_t places[] = {0, 8, 0x1234567, (size_t)1 << 62, 0x7fff00000008};
    for (size_t place = 0; place < sizeof places / sizeof *places; place++) {
        depth = 0;
        nowhere = place == 0 ? (size_t)frames : places[place];
        step();
        CHECK_WITH(count > 3 * STEPS + 1, count);
        for (int i = 0; i < STEPS; i++) {
            size_t kind = (size_t)(STEPS - i) % 2;
            CHECK_WITH(frames[3 * i + 1] == (size_t)code + kind * sizeof kinds[0] + RETURNS, i);
        }
        CHECK_WITH(frames[3 * STEPS + 1] == first, count);
    }
    return 0;
}
