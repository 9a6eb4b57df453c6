// A program with named heaps, some of whose names mean harm: each holds 100 blocks of 1008 bytes and a large one of
// 100000. `heaps COUNT` makes that many more, `tenant 0` and so on, of which number N has N + 1 large ones. The default
// heap holds ten. Prints the address of a block, and waits until standard input ends. With a second argument `refused`,
// a heap refuses two requests first.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "spandrel.h"

#pragma weak spandrel_heap_create
#pragma weak spandrel_heap_use
#pragma weak spandrel_heap_malloc

enum { BLOCKS = 100, SMALL = 1008, LARGE = 100000 };

// A name of more than 63 bytes is cut. NULL is "heap".
static const char *const NAMES[] = {
    "a\"} 9\n\\<&>'", "\x1b[2J\xff", "same", "same", "stra\xc3\x9f" "e", NULL,
    "0123456789012345678901234567890123456789012345678901234567890123456789",
};

static void *volatile sink;

static __attribute__((noinline)) spandrel_heap_t *make(const char *name, int large) {
    struct spandrel_heap_options options = {.name = name, .hard_limit = 64 << 20, .soft_limit = 32 << 20};
    spandrel_heap_t *heap = spandrel_heap_create(&options);
    if (!heap) exit(3);
    for (int i = 0; i < BLOCKS; i++) {
        if (!(sink = spandrel_heap_malloc(heap, SMALL))) exit(4);
    }
    for (int i = 0; i < large; i++) {
        if (!(sink = spandrel_heap_malloc(heap, LARGE))) exit(5);
    }
    return heap;
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 0;
    spandrel_heap_t *used = NULL;
    // No heap gets its buffer.
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; i < 10; i++) sink = malloc(LARGE);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) used = make(NAMES[i], 1);
    for (int i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "tenant %d", i);
        used = make(name, i + 1);
    }
    for (int i = 0; argc > 2 && i < 2; i++) {
        if (spandrel_heap_malloc(used, 65 << 20)) return 6;
    }
    // The last heap has a user, and blocks by plain malloc.
    if (spandrel_heap_use(used) != NULL) return 7;
    for (int i = 0; i < 10; i++) sink = malloc(SMALL);
    printf("ready %p\n", sink);
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0) continue;
    return 0;
}
