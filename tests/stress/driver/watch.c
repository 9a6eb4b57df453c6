// Which bytes belong to a live piece: one bit for each eight, in maps of a mebibyte of addresses each that are found by
// hashing. A byte that two pieces would share is found when the second is handed out, before anything is written to it.
#include <sys/mman.h>
#include "stress.h"

enum {
    GRANULE = 8,
    WORD_BITS = 64,
    MAP_SPAN = 1 << 20,
    MAP_WORDS = MAP_SPAN / GRANULE / WORD_BITS,
    // Never more than a part of the places is used, so that a search ends soon.
    PLACES = 1 << 14,
    MOST_MAPS = 1 << 13,
};

typedef _Atomic uint64_t map[MAP_WORDS];

// A place: number of the mebibyte, and above it number of the map plus one; 0 is free. One word, so that a child of a
// fork never sees half of it.
static _Atomic uint64_t *places;
static map *maps;
static _Atomic uint32_t maps_used;

enum { NUMBER_BITS = 32 };

static void *reserve(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    // Huge pages in the checker's own memory would count as the allocator's.
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    return memory;
}

void watch_start(void) {
    places = own_memory(PLACES * sizeof *places);
    maps = reserve(MOST_MAPS * sizeof *maps);
}

// Zeroed memory that is not of the heap. All of it is present at once, so that it can be subtracted from what is
// resident.
void *own_memory(size_t bytes) {
    unsigned char *memory = reserve(bytes);
    for (size_t at = 0; at < bytes; at += 4096) *(volatile unsigned char *)(memory + at) = 0;
    atomic_fetch_add(&status->own_bytes, bytes);
    return memory;
}

static map *map_of(uintptr_t address) {
    uint64_t number = address / MAP_SPAN;
    for (size_t place = number * UINT64_C(0x9e3779b97f4a7c15) >> 20;; place++) {
        uint64_t seen = atomic_load(&places[place % PLACES]);
        if (seen == 0) {
            uint32_t fresh = atomic_fetch_add(&maps_used, 1);
            CHECK(fresh < MOST_MAPS);
            uint64_t taken = number | (uint64_t)(fresh + 1) << NUMBER_BITS;
            if (atomic_compare_exchange_strong(&places[place % PLACES], &seen, taken)) {
                atomic_fetch_add(&status->own_bytes, sizeof(map));
                return &maps[fresh];
            }
        }
        if ((seen & UINT32_MAX) == number) return &maps[(seen >> NUMBER_BITS) - 1];
    }
}

// The bits of one word from granule `first` on that lie before granule `end`.
static uint64_t bits_between(uintptr_t first, uintptr_t end) {
    unsigned from = first % WORD_BITS;
    uintptr_t count = end - first < WORD_BITS - from ? end - first : WORD_BITS - from;
    uint64_t bits = count == WORD_BITS ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    return bits << from;
}

static void mark(const struct piece *piece, bool live) {
    uintptr_t granule = (uintptr_t)piece->at / GRANULE;
    uintptr_t end = ((uintptr_t)piece->at + piece->usable + GRANULE - 1) / GRANULE;
    while (granule < end) {
        map *words = map_of(granule * GRANULE);
        uintptr_t border = (granule * GRANULE / MAP_SPAN + 1) * (MAP_SPAN / GRANULE);
        uintptr_t stop = end < border ? end : border;
        while (granule < stop) {
            uint64_t bits = bits_between(granule, stop);
            _Atomic uint64_t *word = &(*words)[granule / WORD_BITS % MAP_WORDS];
            uint64_t before = live ? atomic_fetch_or(word, bits) : atomic_fetch_and(word, ~bits);
            if (live && (before & bits) != 0)
                found("overlap", "block %p of %zu bytes (worker %u, number %lu) lies over a live one, at most %zu bytes in",
                      (void *)piece->at, piece->usable, piece->worker, piece->sequence,
                      (size_t)((granule / WORD_BITS + 1) * WORD_BITS * GRANULE - (uintptr_t)piece->at));
            CHECK(live || (before & bits) == bits);
            granule += WORD_BITS - granule % WORD_BITS;
            if (granule > stop) granule = stop;
        }
    }
}

void watch_claim(const struct piece *piece) { mark(piece, true); }

void watch_release(const struct piece *piece) { mark(piece, false); }

// Granules that still belong to a piece: what a scenario forgot.
size_t watch_left(void) {
    size_t left = 0;
    uint32_t used = atomic_load(&maps_used);
    for (uint32_t number = 0; number < used; number++)
        for (size_t word = 0; word < MAP_WORDS; word++)
            left += (size_t)__builtin_popcountll(atomic_load(&maps[number][word]));
    return left;
}
