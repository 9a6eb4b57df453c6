// Prints how many anonymous mappings the process has before and after a heavy load of every kind.
#include "threads.h"

static int anonymous_mappings(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    int count = 0;
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps)) {
        char permissions[8] = "", name[600] = "";
        unsigned long inode = 1;
        CHECK(sscanf(line, "%*x-%*x %7s %*x %*x:%*x %lu %599s", permissions, &inode, name) >= 2);
        count += inode == 0 && (name[0] == '\0' || strncmp(name, "[anon", 5) == 0);
    }
    fclose(maps);
    return count;
}

static void *work(void *seed) {
    churn((uintptr_t)seed, 20000, 128, 3000);
    churn((uintptr_t)seed, 3000, 128, 400000);
    return NULL;
}

int main(void) {
    static char *many[60000];
    pthread_t threads[8];
    free(opaque(malloc(100)));
    printf("before=%d\n", anonymous_mappings());
    for (int round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < 8; i++) threads[i] = start(work, (void *)i);
        for (int i = 0; i < 8; i++) join(threads[i]);
        for (size_t i = 0; i < 60000; i++) (many[i] = opaque(malloc(i % 5000 + 1)))[0] = 1;
        for (size_t i = 0; i < 60000; i += 2) free(many[i]);
        (void)malloc_trim(0);
        for (size_t i = 0; i < 200; i++) {
            char *large = opaque(malloc(100000 + i * 5000));
            large[0] = 1;
            free(large);
        }
        for (size_t i = 1; i < 60000; i += 2) if (round) free(many[i]);
        (void)malloc_trim(0);
    }
    printf("after=%d\n", anonymous_mappings());
    return 0;
}
