// A program's own functions serve malloc for a while. Each block goes back to the functions that made it, whichever serve by then.
// Run it: make -C examples provider
// Prints:
//   by Spandrel: 0 calls of ours
//   by our functions: 1 malloc, 0 free
//   Spandrel again, and ours is freed: 1 malloc, 1 free
#include <spandrel.h>
#include <stdio.h>
#include <stdlib.h>

// The simplest that can serve: a fixed piece of memory, used from its start and never again.
static _Alignas(16) char pool[1 << 20];
static size_t used;
static int mallocs, frees;

static void *pool_malloc(size_t size) {
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size || rounded > sizeof pool - used) return NULL;
    mallocs++;
    used += rounded;
    return pool + used - rounded;
}

static void pool_free(void *block) {
    (void)block;
    frees++;
}

int main(void) {
    // calloc, realloc and the others may be missing: Spandrel makes up for them.
    static const struct spandrel_functions ours = {.malloc = pool_malloc, .free = pool_free};
    static char line[1024];
    setvbuf(stdout, line, _IOLBF, sizeof line);

    free(malloc(100));
    printf("by Spandrel: %d calls of ours\n", mallocs + frees);

    if (!spandrel_set_alloc_functions(&ours, sizeof ours)) return 1;
    char *block = malloc(100);
    if (block < pool || block >= pool + sizeof pool) return 1;
    printf("by our functions: %d malloc, %d free\n", mallocs, frees);

    if (!spandrel_set_alloc_functions(NULL, 0)) return 1;
    free(malloc(100));
    free(block);
    printf("Spandrel again, and ours is freed: %d malloc, %d free\n", mallocs, frees);
    return 0;
}
