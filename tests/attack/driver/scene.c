// Protocol, threads, live blocks and the search for harm. It asks the allocator for nothing but the blocks of the case.
#include "attack.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIVE_MOST 80000
#define HARVEST_BYTES ((size_t)1 << 20)
#define HARVEST_MOST 1200
#define HARVEST_LEAST 4
#define DIRECT_FROM ((size_t)1 << 20)

size_t size, other_size;
int threads, calm, may_change;
long argument;

static struct live { unsigned char *block; size_t size; unsigned char seed, filled; } live[LIVE_MOST];
static unsigned live_count;
static int harmed, zone_is_ours = 1;
static off_t said_before;
uintptr_t zone[ZONE_WORDS] __attribute__((aligned(4096)));

static void say(char letter, const char *why) {
    char line[128] = {letter, ' '};
    strncpy(line + 2, why, sizeof line - 4);
    strcat(line, "\n");
    // A run whose reader is gone has nobody to tell.
    if (write(1, line, strlen(line)) < 0) _exit(3);
}

static off_t said(void) {
    struct stat errors;
    return fstat(2, &errors) == 0 ? errors.st_size : 0;
}

void about_to(void) {
    said_before = said();
    say('A', "");
}

void returned(void) { say(said() > said_before ? 'R' : 'P', ""); }

void harm(const char *why) {
    if (!harmed) say('m', why);
    harmed = 1;
}

void missed(const char *why) {
    say('M', why);
    _exit(0);
}

void harmless(void) {
    if (!harmed) say('H', "");
    exit(0);
}

void leave(void) {
    if (!harmed) say('H', "");
    _exit(0);
}

void not_applicable(const char *why) {
    say('N', why);
    _exit(0);
}

// The second thread carries out one call at a time and stays until the process ends.
static struct { operation call; void *block, *result; size_t size; sem_t wanted, done; } errand;

static void *second(void *unused) {
    for (;;) {
        while (sem_wait(&errand.wanted)) {}
        errand.result = errand.call(errand.block, errand.size);
        sem_post(&errand.done);
    }
    return unused;
}

void *here(operation call, void *block, size_t n) { return call(block, n); }

void *there(operation call, void *block, size_t n) {
    static int started;
    if (threads < 2) return call(block, n);
    if (!started) {
        pthread_t thread;
        started = 1;
        sem_init(&errand.wanted, 0, 0);
        sem_init(&errand.done, 0, 0);
        if (pthread_create(&thread, NULL, second, NULL)) abort();
    }
    errand.call = call, errand.block = block, errand.size = n;
    sem_post(&errand.wanted);
    while (sem_wait(&errand.done)) {}
    return errand.result;
}

static void *once(void *unused) {
    errand.result = errand.call(errand.block, errand.size);
    return unused;
}

void *in_passing(operation call, void *block, size_t n) {
    pthread_t thread;
    errand.call = call, errand.block = block, errand.size = n;
    if (pthread_create(&thread, NULL, once, NULL) || pthread_join(thread, NULL)) abort();
    return errand.result;
}

void *op_malloc(void *unused, size_t n) { return (void)unused, malloc(n); }
void *op_calloc(void *unused, size_t n) { return (void)unused, calloc(1, n); }
void *op_realloc(void *block, size_t n) { return realloc(block, n); }
void *op_free(void *block, size_t unused) { return (void)unused, free(block), NULL; }

// Every byte of the pattern is above 0x7f: no attack writes such bytes.
static unsigned char pattern(const struct live *one, size_t at) { return 0x80 | (one->seed + at * 7); }

// Of a very large block only the edges are filled.
static size_t skip(const struct live *one, size_t at) {
    return one->size > DIRECT_FROM && at == EDGE ? one->size - EDGE : at;
}

static struct live *note(void *block, size_t n) {
    if (live_count == LIVE_MOST) abort();
    live[live_count] = (struct live){block, n, (unsigned char)(live_count * 13), 0};
    return &live[live_count++];
}

void keep(void *block, size_t n) {
    struct live *one = note(block, n);
    one->filled = 1;
    for (size_t i = 0; i < n; i = skip(one, i + 1)) one->block[i] = pattern(one, i);
}

void forget(void *block) {
    for (unsigned i = live_count; i-- > 0;)
        if (live[i].block == block) {
            memmove(live + i, live + i + 1, (--live_count - i) * sizeof *live);
            return;
        }
}

void *owned(size_t n) {
    void *block = here(op_malloc, NULL, n);
    if (!block) not_applicable("no memory");
    keep(block, n);
    return block;
}

void crowd(unsigned count) {
    while (count-- > 0) owned(size);
}

unsigned neighbours(void) { return size > DIRECT_FROM ? 1 : size > 4 * EDGE ? 4 : 16; }

void *victim(void) {
    crowd(neighbours());
    void *block = owned(size);
    crowd(neighbours());
    return block;
}

void release(void *block) {
    forget(block);
    here(op_free, block, 0);
}

unsigned harvest_count(size_t n) {
    size_t count = HARVEST_BYTES / (n ? n : 1);
    return count > HARVEST_MOST ? HARVEST_MOST : count < HARVEST_LEAST ? HARVEST_LEAST : count;
}

// Harvested blocks are not filled: whether they overlap is seen by their addresses.
static void take(void *(*way)(operation, void *, size_t), size_t n) {
    for (unsigned i = harvest_count(n); i > 0 && live_count < LIVE_MOST; i--) {
        void *block = way(op_malloc, NULL, n);
        if (!block) return;
        note(block, n);
    }
}

void harvest(void) {
    take(here, size);
    if (threads > 1) take(there, size);
    if (other_size) take(here, other_size);
}

static void look_for_changes(void) {
    for (unsigned l = 0; l < live_count && !may_change; l++) {
        if (!live[l].filled) continue;
        for (size_t i = 0; i < live[l].size; i = skip(&live[l], i + 1))
            if (live[l].block[i] != pattern(&live[l], i)) return harm("bytes of another block have changed");
    }
    for (unsigned i = 0; i < ZONE_WORDS && zone_is_ours; i++)
        if (zone[i] != TARGET) missed("memory outside of all blocks has changed");
}

// By address; the library's qsort may allocate.
static void sort(struct live **at, unsigned count) {
    unsigned gap = 1;
    while (gap < count / 3) gap = gap * 3 + 1;
    for (; gap > 0; gap /= 3)
        for (unsigned i = gap; i < count; i++) {
            struct live *moved = at[i];
            unsigned j = i;
            for (; j >= gap && at[j - gap]->block > moved->block; j -= gap) at[j] = at[j - gap];
            at[j] = moved;
        }
}

static void look_for_overlaps(void) {
    static struct live *sorted[LIVE_MOST + 2];
    static struct live places[2];
    unsigned char *frame = __builtin_frame_address(0);
    places[0] = (struct live){(unsigned char *)zone, sizeof zone, 0, 0};
    places[1] = (struct live){frame, 4096, 0, 0};
    unsigned count = 0;
    for (; count < live_count; count++) sorted[count] = &live[count];
    sorted[count++] = &places[0], sorted[count++] = &places[1];
    sort(sorted, count);
    for (unsigned i = 1; i < count; i++) {
        if (sorted[i - 1]->block + sorted[i - 1]->size <= sorted[i]->block) continue;
        int chosen = sorted[i] >= places && sorted[i] < places + 2;
        chosen |= sorted[i - 1] >= places && sorted[i - 1] < places + 2;
        missed(chosen ? "malloc returned an address of the attacker's choice" : "two live blocks overlap");
    }
}

void check(void) {
    look_for_overlaps();
    look_for_changes();
}

void release_all(void) {
    unsigned count = live_count;
    live_count = 0;
    for (unsigned i = 0; i < count; i++) (i % 4 ? here : there)(op_free, live[i].block, 0);
}

// Spans become half empty: their free blocks are worth looking for now.
static void release_half(void) {
    unsigned kept = 0;
    for (unsigned i = 0; i < live_count; i++)
        if (i % 2) live[kept++] = live[i];
        else here(op_free, live[i].block, 0);
    live_count = kept;
}

// Frees of the second thread may wait until there are enough of them: here are enough.
static void deliver(void) {
    enum { MOST = 256 };
    void *blocks[MOST];
    unsigned count = harvest_count(size) < MOST ? harvest_count(size) : MOST;
    for (unsigned i = 0; i < count; i++) blocks[i] = here(op_malloc, NULL, size);
    for (unsigned i = 0; i < count; i++) there(op_free, blocks[i], 0);
}

void aftermath(void) {
    if (threads > 1) deliver();
    harvest();
    check();
    release_half();
    harvest();
    check();
    release_all();
    harvest();
    check();
    harmless();
}

__attribute__((constructor)) static void fill_zone(void) {
    for (unsigned i = 0; i < ZONE_WORDS; i++) zone[i] = TARGET;
}

void zone_changes(void) { zone_is_ours = 0; }

#define SECRET 0x5ec2e7da7a000000

void write_secret(void *block, size_t n) {
    for (size_t i = 0; i + 8 <= n; i += 8) {
        if (n > DIRECT_FROM && i == EDGE) i = n - EDGE;
        *(uint64_t *)((char *)block + i) = SECRET + i / 8 % 65536;
    }
}

int secret_in(const void *block, size_t n) {
    for (size_t i = 0; i + 8 <= n; i += 8) {
        if (n > DIRECT_FROM && i == EDGE) i = (n - EDGE) & ~(size_t)7;
        if ((*(volatile const uint64_t *)((const char *)block + i) & ~(uint64_t)0xffff) == SECRET) return 1;
    }
    return 0;
}
