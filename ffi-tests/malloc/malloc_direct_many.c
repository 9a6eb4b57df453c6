// Thousands of direct blocks are found, whatever their sizes and the order in which they go, while other threads free
// and make such blocks. Blocks of libc's beside them are libc's.
// expect: exit 0
// variants: preload linked
#include "check.h"
#include <pthread.h>

#define BLOCKS 2000
#define MIB ((size_t)1 << 20)

void *__libc_malloc(size_t);

static char *blocks[BLOCKS];

static size_t size_of(int i) { return (33 + (size_t)i * 7 % 190) * MIB; }

static void *work(void *number) {
    int first = *(int *)number;
    for (int round = 0; round < 3; round++) {
        for (int i = first; i < BLOCKS; i += 4) {
            CHECK((blocks[i] = opaque(malloc(size_of(i)))) != NULL);
            blocks[i][size_of(i) - 1] = (char)i;
        }
        for (int i = first; i < BLOCKS; i += 4) CHECK(malloc_usable_size(blocks[i]) >= size_of(i));
        for (int i = first; i < BLOCKS; i += 8) {
            CHECK((blocks[i] = opaque(realloc(blocks[i], size_of(i) + 70 * MIB))) != NULL);
            CHECK(blocks[i][size_of(i) - 1] == (char)i);
        }
        for (int i = first; i < BLOCKS; i += 4) {
            char *foreign = __libc_malloc(100);
            free(opaque(blocks[i]));
            free(opaque(foreign));
        }
    }
    return NULL;
}

int main(void) {
    pthread_t threads[4];
    int numbers[4] = {0, 1, 2, 3};
    for (int i = 0; i < 4; i++) CHECK(!pthread_create(&threads[i], NULL, work, &numbers[i]));
    for (int i = 0; i < 4; i++) CHECK(!pthread_join(threads[i], NULL));
    return 0;
}
