// Blocks freed twice, and pointers freed that are no block's start.
#include "attack.h"
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BETWEEN_BYTES ((size_t)24 << 20)
#define BETWEEN_MOST 1024
static void *between[BETWEEN_MOST];

static void *again(void *block) { return there(op_free, block, 0); }

// Frees a block, then `argument` others, which were allocated beside it.
static void *freed_before_others(void) {
    if ((size_t)argument * size > BETWEEN_BYTES) not_applicable("too much memory");
    crowd(neighbours());
    void *block = owned(size);
    for (long i = 0; i < argument; i++) between[i] = owned(size);
    crowd(neighbours());
    release(block);
    for (long i = 0; i < argument; i++) release(between[i]);
    return block;
}

void double_free(void) {
    void *block = freed_before_others();
    MISUSE(again(block));
    aftermath();
}

void double_free_wiped(void) {
    void *block = freed_before_others();
    MISUSE(memset(block, 0, size > 64 ? 64 : size));
    MISUSE(again(block));
    aftermath();
}

void double_free_poisoned(void) {
    void *block = freed_before_others();
    MISUSE(memcpy(block, zone, size > 64 ? 64 : size));
    MISUSE(again(block));
    aftermath();
}

static void *victim_and_others(void) {
    if ((size_t)argument * size > BETWEEN_BYTES) not_applicable("too much memory");
    for (long i = 0; i < argument; i++) between[i] = owned(size);
    return victim();
}

void remote_twice(void) {
    void *block = victim_and_others();
    forget(block);
    there(op_free, block, 0);
    for (long i = 0; i < argument; i++) forget(between[i]), there(op_free, between[i], 0);
    MISUSE(there(op_free, block, 0));
    aftermath();
}

void remote_then_owner(void) {
    void *block = victim_and_others();
    forget(block);
    there(op_free, block, 0);
    for (long i = 0; i < argument; i++) release(between[i]);
    MISUSE(here(op_free, block, 0));
    aftermath();
}

void owner_ended(void) {
    void *block = in_passing(op_malloc, NULL, size);
    crowd(neighbours());
    here(op_free, block, 0);
    for (long i = 0; i < argument; i++) release(owned(size));
    MISUSE(again(block));
    aftermath();
}

void freer_ended(void) {
    void *block = victim();
    forget(block);
    in_passing(op_free, block, 0);
    MISUSE(again(block));
    aftermath();
}

void two_strangers(void) {
    void *block = victim();
    forget(block);
    there(op_free, block, 0);
    MISUSE(in_passing(op_free, block, 0));
    aftermath();
}

void realloc_moved(void) {
    void *block = victim();
    forget(block);
    void *moved = here(op_realloc, block, size * 4);
    if (moved == block) not_applicable("the block did not move");
    keep(moved, size * 4);
    MISUSE(again(block));
    aftermath();
}

void realloc_in_place(void) {
    void *block = victim();
    forget(block);
    void *same = here(op_realloc, block, size);
    here(op_free, same, 0);
    MISUSE(again(same));
    aftermath();
}

void realloc_twice(void) {
    void *block = victim(), *second = NULL;
    forget(block);
    void *moved = here(op_realloc, block, size * 4);
    if (moved == block) not_applicable("the block did not move");
    keep(moved, size * 4);
    MISUSE(second = there(op_realloc, block, size * 4));
    if (second) keep(second, size * 4);
    aftermath();
}

void realloc_freed(void) {
    void *block = freed_before_others(), *moved = NULL;
    MISUSE(moved = there(op_realloc, block, argument ? size * 4 : size));
    if (moved) keep(moved, size);
    aftermath();
}

// All blocks around it are free, so that what held them may be, too.
void span_gone(void) {
    void *block = victim();
    release_all();
    MISUSE(again(block));
    aftermath();
}

void after_trim(void) {
    void *block = victim();
    release_all();
    malloc_trim(0);
    MISUSE(again(block));
    aftermath();
}

// Where things are that no allocator made.
static int global[64] __attribute__((aligned(64)));
static _Thread_local char local_to_thread[256] __attribute__((aligned(64)));
extern char **environ;

static void *mapping(size_t inside) {
    char *start = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start == MAP_FAILED ? NULL : start + inside;
}

static void *unmapped(void) {
    char *start = mapping(0);
    munmap(start, 1 << 20);
    return start + 4096;
}

static void *of_libc(void) {
    void *(*own)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "__libc_malloc");
    if (!own || (void *)own == dlsym(RTLD_DEFAULT, "malloc") || getenv("MALLOC_CHECK_"))
        not_applicable("libc is the allocator");
    return own(size);
}

static void *place(void *block, char *stack) {
    switch (argument) {
    case STACK: return stack;
    case GLOBAL: return global;
    case CODE: return (void *)(uintptr_t)((uintptr_t)place & ~(uintptr_t)15);
    case LITERAL: return (void *)(((uintptr_t) "a string that nobody allocated, long enough to be aligned" + 15) & ~(uintptr_t)15);
    case ARGUMENTS: return environ[0];
    case THREAD_LOCAL: return local_to_thread;
    case LOW: return (void *)0x10000;
    case WILD: return (void *)0x4141414141414140;
    case KERNEL: return (void *)0xffffffff81000000;
    case FAR_AWAY: return (char *)block + ((size_t)64 << 20);
    case NEAR_NULL: return (void *)8;
    case MAPPED: return mapping(0);
    case MAPPED_INSIDE: return mapping(4096 + 16);
    case UNMAPPED: return unmapped();
    case LIBC: return of_libc();
    case BREAK: return (char *)sbrk(0x10000) + 0x1000;
    default: return stdout;
    }
}

void invalid_place(void) {
    char stack[256] __attribute__((aligned(64)));
    memset(stack, 0, sizeof stack);
    void *block = victim();
    void *chosen = place(block, stack);
    MISUSE(again(chosen));
    aftermath();
}

// Of the block's size where the argument is 0.
static size_t offset(void) { return argument ? (size_t)argument : round16(size / 2); }

void invalid_offset(void) {
    char *block = victim();
    MISUSE(again(block + (ptrdiff_t)offset()));
    aftermath();
}

void invalid_realloc(void) {
    char *block = victim(), *moved = NULL;
    MISUSE(moved = there(op_realloc, block + offset(), size));
    if (moved) keep(moved, size);
    aftermath();
}

static void *op_usable_size(void *block, size_t unused) { return (void)unused, (void *)malloc_usable_size(block); }

// Harmless is an answer that stays within the block.
void invalid_usable_size(void) {
    char *block = victim();
    size_t usable = 0, whole = malloc_usable_size(block);
    MISUSE(usable = (size_t)there(op_usable_size, block + offset(), 0));
    if (usable > whole - offset()) missed("the usable size reaches beyond the block");
    aftermath();
}

// The end of a block is, where blocks lie side by side, the start of the next: that one is free already.
void free_neighbour(void) {
    char *block = victim();
    size_t usable = malloc_usable_size(block);
    forget(block);
    release_all();
    keep(block, size);
    MISUSE(again(block + usable));
    aftermath();
}

void invalid_freed_inside(void) {
    char *block = victim();
    release(block);
    MISUSE(again(block + offset()));
    aftermath();
}

void invalid_tag(void) {
    uintptr_t block = (uintptr_t)victim();
    MISUSE(again((void *)(block | (uintptr_t)argument << 48)));
    aftermath();
}

// A pointer into a live block, in front of which the program's data look like the header of a block.
void invalid_forged(void) {
    uintptr_t *block = victim();
    size_t chunk = round16(size + 8), at = round16(size / 2) / 8;
    may_change = 1;
    MISUSE({
        block[at - 1] = 0x21;
        if (at + 3 < size / 8) block[at + 3] = 0x21;
        else block[at - 1] = chunk | 1;
        again(block + at);
    });
    aftermath();
}
