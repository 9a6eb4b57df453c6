// Writes beyond a block, in front of it, and to a freed one.
#include "attack.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITTEN 0x41
#define LONGEST_AT_ONCE 64

// The write itself: short ones byte by byte, long ones by memcpy. Length 0 is a single NUL, as behind a string.
static void *spill(void *to, size_t length) {
    static char source[1 << 17];
    volatile char *bytes = to;
    if (length == 0) *bytes = 0;
    else if (length <= LONGEST_AT_ONCE) for (size_t i = 0; i < length; i++) bytes[i] = WRITTEN;
    else memcpy(to, memset(source, WRITTEN, length), length);
    return NULL;
}

static void end(void *block, void *before, void *after) {
    check();
    switch (argument & 15) {
    case AT_FREE: release(block); break;
    case AT_REALLOC: {
        forget(block);
        void *moved = here(op_realloc, block, size * 2);
        if (moved) keep(moved, size);
        break;
    }
    case AT_NEIGHBOUR:
        release(before);
        release(after);
        harvest();
        check();
        leave();
    case AT_EXIT: harmless();
    default:
        harvest();
        check();
        leave();
    }
    aftermath();
}

// Blocks in the order of their addresses, so that the neighbours are known.
static void in_a_row(void **before, void **block, void **after) {
    enum { MOST = 48 };
    void *row[MOST];
    unsigned count = neighbours() * 3;
    for (unsigned i = 0; i < count; i++) {
        void *one = owned(size);
        unsigned at = i;
        for (; at > 0 && row[at - 1] > one; at--) row[at] = row[at - 1];
        row[at] = one;
    }
    *before = row[count / 2 - 1], *block = row[count / 2], *after = row[count / 2 + 1];
}

void overflow(void) {
    void *before, *block, *after;
    in_a_row(&before, &block, &after);
    MISUSE(there(spill, (char *)block + size, argument >> 4));
    end(block, before, after);
}

void underflow(void) {
    void *before, *block, *after;
    in_a_row(&before, &block, &after);
    MISUSE(there(spill, (char *)block - (argument >> 4), argument >> 4));
    end(block, before, after);
}

// Words that each name the zone: an allocator that follows one hands the zone out.
static void *stain(void *block, size_t n) {
    for (size_t i = 0; i < n / 8 && i < 1024; i++) ((volatile uintptr_t *)block)[i] = TARGET;
    return NULL;
}

static void *stain_last(void *block, size_t n) {
    *(volatile uintptr_t *)((char *)block + (n - 8) / 8 * 8) = TARGET;
    return NULL;
}

static void churn(long count) {
    for (long i = 0; i < count; i++) here(op_free, here(op_malloc, NULL, size), 0);
}

// Argument: 0 all of it, 1 its last word; from 16 on, so many other calls come in between.
void write_freed(void) {
    void *block = victim();
    forget(block);
    there(op_free, block, 0);
    churn(argument >> 4);
    MISUSE((argument & 1 ? stain_last : stain)(block, size));
    aftermath();
}

// Nothing is allocated or freed afterwards: the process ends.
void write_freed_exit(void) {
    void *block = victim();
    release(block);
    MISUSE(there(stain, block, size));
    harmless();
}

// The block has a new owner by then, if it is handed out again so soon.
void write_reused(void) {
    void *block = victim();
    release(block);
    for (long i = 0; i < argument && i < (long)harvest_count(size); i++) owned(size);
    MISUSE(there(stain, block, size));
    check();
    aftermath();
}

void write_after_realloc(void) {
    void *block = victim();
    forget(block);
    void *moved = here(op_realloc, block, size * 4);
    if (moved == block) not_applicable("the block did not move");
    keep(moved, size * 4);
    MISUSE(there(stain, block, size));
    aftermath();
}
