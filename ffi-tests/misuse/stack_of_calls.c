// A misuse is reported with the stack of the call, whose first frame is the program's, and by the name of the call that
// was written, in every mode. A stack is bounded, and is printed in full once.
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// flags: -O2 -rdynamic
// variants: preload linked static
// run: free
// args: free
// says: : free(0x … the block is free already
// stack: (release+ … (work+ … (main+
// run: jumped
// args: jumped
// says: : free(0x … the block is free already
// stack: (release_at_end+ … (work+ … (main+
// run: realloc
// args: realloc
// says: : realloc(0x
// stack: (release+ … (work+ … (main+
// run: reallocarray
// args: reallocarray
// says: : reallocarray(0x
// stack: (release+
// run: usable
// args: usable
// says: : malloc_usable_size(0x
// stack: (release+
// run: sized
// args: sized
// says: : free_sized(0x
// stack: (release+
// run: old_name
// args: old
// says: : cfree(0x
// stack: (release+
// run: by_pointer
// args: pointer
// says: : free(0x
// run: tracked
// args: free
// env: SPANDREL_MODE=tracked
// stack: (release+ … (work+ … (main+
// run: counting
// args: realloc
// env: SPANDREL_MODE=counting
// says: : realloc(0x
// stack: (release+ … (work+ … (main+
// run: hardened
// args: free
// env: SPANDREL_MODE=hardened
// stack: (release+ … (work+ … (main+
// run: guarded
// args: reallocarray
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=1
// says: : reallocarray(0x
// stack: (release+ … (work+ … (main+
// run: two_frames
// args: free
// env: SPANDREL_ERROR_FRAMES=2
// stack: (release+ … (work+ … .
// run: no_frames
// args: realloc
// env: SPANDREL_ERROR_FRAMES=0
// says: : realloc(0x
// stack: .
// run: deep
// args: deep
// env: SPANDREL_ERROR_FRAMES=4
// stack: (release+ … (deep+ … (deep+ … (deep+ … .
// run: many_frames
// args: free
// env: SPANDREL_ERROR_FRAMES=65
// expect: signal SIGABRT stderr ALLOCATOR_BAD_OPTION|ALLOCATOR_DOUBLE_FREE x2
// says: SPANDREL_ERROR_FRAMES=65: takes a number from 0 to 64
// run: late
// args: late
// env: SPANDREL_BIN_BYTES=1
// says: : free(0x … the block is free already … ; found later, by
// run: again
// args: again
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x300
// says: spandrel:    and further frames, as printed before
// stack: (release+ … (work+ … (main+
#include "check.h"

#define SEEN __attribute__((noinline, noclone))

extern __attribute__((weak)) void cfree(void *block);
static void (*volatile chosen)(void *) = free;

// The call itself is not the last thing that happens here.
SEEN void release(const char *how, void *block) {
    if (strcmp(how, "realloc") == 0) CHECK(realloc(block, 500) == NULL);
    else if (strcmp(how, "reallocarray") == 0) CHECK(reallocarray(block, 10, 50) == NULL);
    else if (strcmp(how, "usable") == 0) CHECK(malloc_usable_size(block) == 0);
    else if (strcmp(how, "sized") == 0) free_sized(block, 40);
    else if (strcmp(how, "old") == 0) cfree(block);
    else if (strcmp(how, "pointer") == 0) chosen(block);
    else free(block);
    barrier();
}

// Here it is: the compiler makes a jump of it.
SEEN void release_at_end(void *block) { free(block); }

SEEN void deep(int depth, void *block) {
    if (depth > 0) deep(depth - 1, block);
    else release("free", block);
    barrier();
}

SEEN void work(const char *how) {
    char *block = opaque(malloc(40));
    if (strcmp(how, "late") == 0) {
        // Three blocks of each class fit into a bin.
        char *others[64];
        for (int i = 0; i < 64; i++) others[i] = opaque(malloc(40));
        release("free", block);
        for (int i = 0; i < 32; i++) free(others[i]);
        release("free", block);
        for (int i = 32; i < 64; i++) free(others[i]);
    } else if (strcmp(how, "again") == 0) {
        for (int i = 0; i < 300; i++) release("free", (char *)&how + 1);
    } else {
        free(block);
        if (strcmp(how, "jumped") == 0) release_at_end(opaque(block));
        else if (strcmp(how, "deep") == 0) deep(100000, opaque(block));
        else release(how, opaque(block));
    }
    barrier();
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    work(argv[1]);
    barrier();
    return 0;
}
