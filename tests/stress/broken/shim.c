// An allocator that stands before the real one and is wrong in one way, once in a few thousand calls. Which way is a
// macro of the compiler's command line, FAULT_...; without one it is sound.
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include "check.h"

// Where in a block another one begins, and how large that is; how far from its alignment a block is.
enum { ONCE_IN = 3000, LENT_AT = 1024, LENT_BYTES = 64, OFF = 4 };

// True once in so many calls, but not while the process is being set up.
__attribute__((unused)) static bool now_and_then(void) {
    static atomic_ulong calls;
    return atomic_fetch_add(&calls, 1) % ONCE_IN == ONCE_IN - 1;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (real == NULL) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#ifdef FAULT_OVERLAP
static _Atomic(char *) lent;
#endif

void *malloc(size_t size) {
    REAL(malloc);
#ifdef FAULT_OVERLAP
    // The middle of a block that was handed out a moment ago.
    static _Atomic(char *) recent;
    if (size <= LENT_BYTES && atomic_load(&recent) != NULL && now_and_then()) {
        atomic_store(&lent, atomic_load(&recent) + LENT_AT);
        return atomic_load(&lent);
    }
    char *block = real(size);
    if (size >= LENT_AT + LENT_BYTES) atomic_store(&recent, block);
    return block;
#endif
#ifdef FAULT_TWICE
    // The same block for two calls in a row.
    static _Atomic(void *) last;
    static atomic_ulong last_size;
    if (now_and_then() && size <= atomic_load(&last_size)) return atomic_load(&last);
    void *block = real(size);
    atomic_store(&last_size, malloc_usable_size(block));
    atomic_store(&last, block);
    return block;
#endif
#ifdef FAULT_MISALIGN
    if (size > 100 && now_and_then()) return (char *)real(size + 8) + OFF;
#endif
#ifdef FAULT_GROW
    // Memory of its own that it never gives back.
    if (now_and_then())
        memset(mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 2 * MIB);
#endif
#ifdef FAULT_REFUSE
    if (now_and_then()) {
        errno = ENOMEM;
        return NULL;
    }
#endif
#ifdef FAULT_WRONG_ERRNO
    if (now_and_then()) {
        errno = EINVAL;
        return NULL;
    }
#endif
#ifdef FAULT_NOISE
    if (now_and_then() && write(2, "spandrel: ALLOCATOR_DOUBLE_FREE: just said\n", 43) < 0) abort();
#endif
    return real(size);
}

#ifdef FAULT_SHORT
size_t malloc_usable_size(void *block) {
    REAL(malloc_usable_size);
    return now_and_then() ? 1 : real(block);
}
#endif

#if defined FAULT_OVERLAP || defined FAULT_MISALIGN
// The real one does not know of blocks that begin where none does.
size_t malloc_usable_size(void *block) {
    REAL(malloc_usable_size);
#ifdef FAULT_OVERLAP
    return block == atomic_load(&lent) ? LENT_BYTES : real(block);
#else
    return (uintptr_t)block % 8 == OFF ? real((char *)block - OFF) - OFF : real(block);
#endif
}
#endif

#ifdef FAULT_NOT_ZERO
void *calloc(size_t count, size_t size) {
    REAL(calloc);
    char *block = real(count, size);
    if (now_and_then() && block != NULL && count * size > 10) block[count * size - 1] = 1;
    return block;
}
#endif

#ifdef FAULT_FORGET_CONTENTS
void *realloc(void *block, size_t size) {
    REAL(realloc);
    char *moved = real(block, size);
    if (now_and_then() && moved != NULL && size > 10) moved[3] ^= 1;
    return moved;
}
#endif

#if defined FAULT_CORRUPT || defined FAULT_FORGET_FREE
void free(void *block) {
    REAL(free);
#ifdef FAULT_CORRUPT
    // Writes into a block that another caller holds: the block that was freed last but is being used again, with luck,
    // or the neighbour.
    if (now_and_then() && block != NULL) {
        static _Atomic(char *) earlier;
        char *other = atomic_exchange(&earlier, block);
        if (other != NULL) other[2] ^= 4;
    }
#else
    if (now_and_then()) return;
#endif
    real(block);
}
#endif

#ifdef FAULT_CHILD_CRASH
static void crash(void) { abort(); }
__attribute__((constructor)) static void prepare(void) { pthread_atfork(NULL, NULL, crash); }
#endif
