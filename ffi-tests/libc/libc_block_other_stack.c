// A block of libc's is freed on a coroutine's stack that lies right below it: the block is not taken for part of the
// stack (6).
// expect: exit 0
// variants: preload linked
#include <sys/mman.h>
#include "context.h"

static void *block;
static ucontext_t caller, coroutine;

static void run(void) { free(block); }

int main(void) {
    CHECK((block = opaque(__libc_malloc(MIB))) != NULL);
    void *stack = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    make_context(&coroutine, stack, MIB, &caller, run);
    CHECK(swapcontext(&caller, &coroutine) == 0);
    return 0;
}
