/* jemalloc's own API, as libspandrel_jemalloc has it. For programs that are built without jemalloc: they find this
   header by `pkg-config --cflags spandrel-jemalloc`. docs/jemalloc.md says what has an effect. */

#ifndef SPANDREL_JEMALLOC_H
#define SPANDREL_JEMALLOC_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

/* The version of the API. */
#define JEMALLOC_VERSION "5.3.0-0-spandrel"
#define JEMALLOC_VERSION_MAJOR 5
#define JEMALLOC_VERSION_MINOR 3
#define JEMALLOC_VERSION_BUGFIX 0

/* The alignment: 2 to that power; or that number of bytes, a power of two. */
#define MALLOCX_LG_ALIGN(lg) ((int)(lg))
#define MALLOCX_ALIGN(align) ((int)__builtin_ctzll((unsigned long long)(align)))
/* Bytes that read as zero. */
#define MALLOCX_ZERO ((int)0x40)
/* A cache and an arena: without effect. */
#define MALLOCX_TCACHE(cache) ((int)(((unsigned)(cache) + 2u) << 8))
#define MALLOCX_TCACHE_NONE MALLOCX_TCACHE(-1)
#define MALLOCX_ARENA(arena) ((int)(((unsigned)(arena) + 1u) << 20))

/* Numbers in names of mallctl that stand for all arenas, and for those that a program destroyed. */
#define MALLCTL_ARENAS_ALL 4096
#define MALLCTL_ARENAS_DESTROYED 4097

#ifdef __cplusplus
extern "C" {
#define SPANDREL_JEMALLOC_NOTHROW noexcept
#else
#define SPANDREL_JEMALLOC_NOTHROW __attribute__((nothrow))
#endif

void *mallocx(size_t size, int flags) SPANDREL_JEMALLOC_NOTHROW;
void *rallocx(void *block, size_t size, int flags) SPANDREL_JEMALLOC_NOTHROW;
size_t xallocx(void *block, size_t size, size_t extra, int flags) SPANDREL_JEMALLOC_NOTHROW;
size_t sallocx(const void *block, int flags) SPANDREL_JEMALLOC_NOTHROW;
void dallocx(void *block, int flags) SPANDREL_JEMALLOC_NOTHROW;
void sdallocx(void *block, size_t size, int flags) SPANDREL_JEMALLOC_NOTHROW;
size_t nallocx(size_t size, int flags) SPANDREL_JEMALLOC_NOTHROW;

int mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen) SPANDREL_JEMALLOC_NOTHROW;
int mallctlnametomib(const char *name, size_t *mibp, size_t *miblenp) SPANDREL_JEMALLOC_NOTHROW;
int mallctlbymib(const size_t *mib, size_t miblen, void *oldp, size_t *oldlenp, void *newp, size_t newlen)
    SPANDREL_JEMALLOC_NOTHROW;
void malloc_stats_print(void (*write)(void *opaque, const char *text), void *opaque, const char *options)
    SPANDREL_JEMALLOC_NOTHROW;
size_t malloc_usable_size(void *block) SPANDREL_JEMALLOC_NOTHROW;

/* The program's function for messages, and its options for jemalloc, which have no effect. */
extern void (*malloc_message)(void *opaque, const char *text);
extern const char *malloc_conf;

#ifdef __cplusplus
}
#endif

#endif /* SPANDREL_JEMALLOC_H */
