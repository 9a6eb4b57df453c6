// Reads of what is no longer, or not yet, the reader's: freed blocks, neighbours, fresh memory; reuse; sizes of zero.
#include "attack.h"
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void *secret_block(void) {
    void *block = victim();
    forget(block);
    write_secret(block, size);
    return block;
}

static void *seen(void *block, size_t n) { return (void *)(uintptr_t)secret_in(block, n); }

// The misuse is the read. It is missed if the secret is there.
static void read_stale(void *block, size_t n) {
    void *found = NULL;
    MISUSE(found = there(seen, block, n));
    if (found) missed("a secret was read");
    harmless();
}

void read_freed(void) {
    void *block = secret_block();
    there(op_free, block, 0);
    read_stale(block, size);
}

void read_freed_later(void) {
    void *block = secret_block();
    here(op_free, block, 0);
    for (long i = 0; i < argument; i++) here(op_free, here(op_malloc, NULL, size + 64), 0);
    read_stale(block, size);
}

void read_after_realloc(void) {
    void *block = secret_block();
    if (here(op_realloc, block, size * 4) == block) not_applicable("the block did not move");
    read_stale(block, size);
}

// A freed block or a fresh one names an address of the heap, from which an attacker learns where things are.
static void *address_in(void *block, size_t n) {
    uintptr_t near = (uintptr_t)block >> 32;
    for (size_t i = 0; i + 8 <= n && i < 256; i += 8) {
        uintptr_t word = *(volatile uintptr_t *)((char *)block + i);
        if (word >> 32 == near && word % 8 == 0) return (void *)word;
    }
    return NULL;
}

void read_freed_pointer(void) {
    void *others[8], *found = NULL;
    for (int i = 0; i < 8; i++) memset(others[i] = here(op_malloc, NULL, size), 0x41, size > 256 ? 256 : size);
    for (int i = 0; i < 8; i++) there(op_free, others[i], 0);
    for (int i = 0; i < 8 && !found; i++) MISUSE(found = address_in(others[i], size));
    if (found) missed("a freed block names an address of the heap");
    harmless();
}

// The blocks around the one that is read hold secrets. Argument: bytes beyond it, or in front of it.
void read_beyond(void) {
    enum { MOST = 48 };
    char *row[MOST];
    unsigned count = neighbours() * 3;
    for (unsigned i = 0; i < count; i++) {
        row[i] = here(op_malloc, NULL, size);
        if (!row[i]) not_applicable("no memory");
        write_secret(row[i], size);
    }
    char *middle = row[count / 2];
    size_t length = labs(argument);
    char *from = argument > 0 ? middle + round16(size) : middle - round16(length);
    void *found = NULL;
    MISUSE(found = there(seen, from, round16(length)));
    if (found) missed("a neighbour's secret was read");
    harmless();
}

// Is a freed block handed out again by one of the next mallocs? No misuse yet: the half of one.
void reuse_soon(void) {
    void *block = victim();
    forget(block);
    there(op_free, block, 0);
    for (long i = 0; i < argument; i++)
        if (here(op_malloc, NULL, size) == block) missed("the freed block is handed out again");
    harmless();
}

// A stale pointer is freed after its block got a new owner.
void reuse_stale_free(void) {
    void *block = victim();
    release(block);
    for (long i = 0; i < argument; i++) owned(size);
    MISUSE(there(op_free, block, 0));
    aftermath();
}

// Can an attacker place a block right behind another by allocating twice?
void reuse_adjacent(void) {
    enum { PAIRS = 16 };
    unsigned side_by_side = 0;
    crowd(neighbours());
    for (int i = 0; i < PAIRS; i++) {
        char *first = owned(size), *next = owned(size);
        side_by_side += next > first && (size_t)(next - first) <= malloc_usable_size(first) + 16;
    }
    if (side_by_side > PAIRS / 2) missed("blocks allocated in turn lie side by side");
    harmless();
}

// Old secrets in memory that malloc returns.
void uninitialised(void) {
    enum { MOST = 32 };
    void *old[MOST];
    unsigned count = neighbours() * 2 < MOST ? neighbours() * 2 : MOST;
    for (unsigned i = 0; i < count; i++) {
        old[i] = here(op_malloc, NULL, size);
        if (!old[i]) not_applicable("no memory");
        write_secret(old[i], size);
    }
    for (unsigned i = 0; i < count; i++) there(op_free, old[i], 0);
    for (unsigned i = harvest_count(size); i > 0; i--) {
        void *block = here(op_malloc, NULL, size);
        if (block && secret_in(block, size)) missed("fresh memory holds an old secret");
    }
    harmless();
}

static int is_zero(const char *block, size_t n) {
    for (size_t i = 0; i < n && i < 4 * EDGE; i++)
        if (block[i]) return 0;
    return 1;
}

static void calloc_all(void) {
    for (unsigned i = harvest_count(size); i > 0; i--) {
        char *block = here(op_calloc, NULL, size);
        if (block && !is_zero(block, size)) missed("calloc returned bytes that are not zero");
    }
    harmless();
}

void calloc_dirty(void) {
    void *block = secret_block();
    there(op_free, block, 0);
    calloc_all();
}

static void *scribble(void *block, size_t n) { return memset(block, 0x41, n > EDGE ? EDGE : n); }

void calloc_written(void) {
    void *block = secret_block();
    here(op_free, block, 0);
    MISUSE(there(scribble, block, size));
    calloc_all();
}

// realloc to a larger size: what lies behind the old bytes?
void realloc_grown(void) {
    for (int i = 0; i < 8; i++) {
        void *old = here(op_malloc, NULL, size * 2);
        write_secret(old, size * 2);
        there(op_free, old, 0);
    }
    for (int i = 0; i < 8; i++) {
        char *block = here(op_malloc, NULL, size);
        memset(block, 0, size > EDGE ? EDGE : size);
        block = here(op_realloc, block, size * 2);
        if (secret_in(block + size, size > EDGE ? EDGE : size)) missed("grown memory holds an old secret");
    }
    harmless();
}

// malloc(0): blocks of 16 bytes around it belong to others.
static char *empty(void) {
    size = 16;
    crowd(16);
    char *block = here(op_malloc, NULL, 0);
    crowd(16);
    if (!block) not_applicable("malloc(0) returns NULL");
    return block;
}

void zero_write(void) {
    char *block = empty();
    MISUSE(there(scribble, block, argument));
    check();
    here(op_free, block, 0);
    aftermath();
}

void zero_read(void) {
    size = 16;
    void *old[32];
    for (int i = 0; i < 32; i++) write_secret(old[i] = here(op_malloc, NULL, 16), 16);
    for (int i = 0; i < 32; i += 2) here(op_free, old[i], 0);
    for (int i = 0; i < 32; i++) {
        char *block = here(op_malloc, NULL, 0);
        void *found = NULL;
        if (!block) not_applicable("malloc(0) returns NULL");
        MISUSE(found = there(seen, block, argument));
        if (found) missed("a secret was read through malloc(0)");
        if (calm) break;
    }
    harmless();
}

void zero_double(void) {
    char *block = empty();
    here(op_free, block, 0);
    for (long i = 0; i < argument; i++) here(op_free, here(op_malloc, NULL, 100), 0);
    MISUSE(there(op_free, block, 0));
    aftermath();
}

void zero_distinct(void) {
    enum { COUNT = 1000 };
    void *all[COUNT];
    for (int i = 0; i < COUNT; i++) {
        all[i] = there(op_malloc, NULL, i % 4 ? 0 : 1);
        if (!all[i]) not_applicable("malloc(0) returns NULL");
        for (int j = 0; j < i; j++)
            if (all[j] == all[i]) missed("malloc(0) returned an address that is not its own");
    }
    harmless();
}

// realloc(p, 0) frees p, or makes it a block of no bytes.
void zero_realloc(void) {
    void *block = victim();
    forget(block);
    void *left = here(op_realloc, block, 0);
    if (left == block) not_applicable("the block did not move");
    MISUSE(there(op_free, block, 0));
    aftermath();
}
