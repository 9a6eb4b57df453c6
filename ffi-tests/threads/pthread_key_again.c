// pthread_key destructors that set their key again run after everything else of the thread; they malloc and free (4).
// expect: exit 0
// run: usual
// run: pool
// env: SPANDREL_PROFILE=freestanding
// variants: preload linked static glibc
#include "threads.h"

static pthread_key_t keys[20];
static int runs;

static void destroy(void *value) {
    size_t index = *(size_t *)value, size = 16 + index * 300;
    __atomic_add_fetch(&runs, 1, __ATOMIC_RELAXED);
    CHECK(holds((char *)value + sizeof index, size - sizeof index, index));
    churn(index, 60, 8, 3000);
    void *again = opaque(malloc(size));
    CHECK(again != NULL);
    memcpy(again, value, size);
    free(value);
    // The implementation stops after PTHREAD_DESTRUCTOR_ITERATIONS rounds; what is set then leaks.
    pthread_setspecific(keys[index], again);
}

static void *body(void *unused) {
    for (size_t index = 0; index < 20; index++) {
        size_t size = 16 + index * 300;
        char *value = opaque(malloc(size));
        memcpy(value, &index, sizeof index);
        fill(value + sizeof index, size - sizeof index, index);
        CHECK(pthread_setspecific(keys[index], value) == 0);
    }
    return unused;
}

int main(void) {
    for (int i = 0; i < 20; i++) CHECK(pthread_key_create(&keys[i], destroy) == 0);
    for (int i = 0; i < 40; i++) join(start(body, NULL));
    CHECK_WITH(runs == 40 * 20 * PTHREAD_DESTRUCTOR_ITERATIONS, runs);
    return 0;
}
