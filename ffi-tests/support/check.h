// Shared by the programs here: CHECK, barriers that keep the compiler from reasoning about allocation calls, patterns.
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif
// C23; glibc 2.36 has neither, so a program that is going to be preloaded can only refer to them weakly.
__attribute__((weak)) void free_sized(void *ptr, size_t size);
__attribute__((weak)) void free_aligned_sized(void *ptr, size_t alignment, size_t size);
// glibc's own entry points, which a replacement leaves alone.
void *__libc_malloc(size_t size);
void __libc_free(void *ptr);
#ifdef __cplusplus
}
#endif

#define KIB ((size_t)1024)
#define MIB ((size_t)1024 * 1024)

// Nothing here allocates: the heap may be what is broken.
static inline void check_failed(const char *condition, const char *file, int line, long detail) {
    char text[512];
    int length = snprintf(
        text, sizeof text, "%s:%d: CHECK(%s) failed, errno %d, detail %ld\n", file, line, condition, errno, detail);
    if (write(2, text, (size_t)length) < 0) _exit(98);
    _exit(99);
}

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__, 0))
#define CHECK_WITH(condition, detail)                                                                                  \
    ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__, (long)(detail)))

// The compiler can no longer know where this pointer came from.
static inline void *opaque(void *ptr) {
    __asm__ volatile("" : "+r"(ptr) : : "memory");
    return ptr;
}

static inline size_t opaque_size(size_t size) {
    __asm__ volatile("" : "+r"(size));
    return size;
}

static inline void barrier(void) { __asm__ volatile("" : : : "memory"); }

static inline bool aligned_to(const void *ptr, size_t alignment) { return ((uintptr_t)ptr & (alignment - 1)) == 0; }

// A byte that depends on position and seed.
static inline unsigned char pattern_at(size_t index, size_t seed) {
    return (unsigned char)((index * 7 + (index >> 8) * 13 + seed * 31 + 1) & 0xff);
}

static inline void fill(void *ptr, size_t length, size_t seed) {
    unsigned char *bytes = (unsigned char *)ptr;
    for (size_t index = 0; index < length; index++) bytes[index] = pattern_at(index, seed);
    barrier();
}

static inline bool holds(const void *ptr, size_t length, size_t seed) {
    const unsigned char *bytes = (const unsigned char *)ptr;
    barrier();
    for (size_t index = 0; index < length; index++)
        if (bytes[index] != pattern_at(index, seed)) return false;
    return true;
}

static inline bool all_zero(const void *ptr, size_t length) {
    const unsigned char *bytes = (const unsigned char *)ptr;
    barrier();
    for (size_t index = 0; index < length; index++)
        if (bytes[index] != 0) return false;
    return true;
}

// Reproducible random numbers (xorshift64).
static inline uint64_t next_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

// One size of each lane: small, large, direct.
static const size_t LANE_SIZES[] = {
    8, 100, 1024, 5000, 32768, 32769, 300000, 5 * 1024 * 1024, 33554432, 40 * 1024 * 1024};
#define LANE_COUNT (sizeof LANE_SIZES / sizeof LANE_SIZES[0])

#endif
