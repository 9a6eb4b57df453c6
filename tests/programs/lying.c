// A program that lies about itself: puts a value into a word of the library's descriptor and waits until standard input
// ends. Usage: lying WORD VALUE, both as C numbers.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    void *volatile block = malloc(100);
    free(block);
    volatile size_t *descriptor = dlsym(RTLD_DEFAULT, "spandrel_live");
    if (descriptor == NULL || memcmp((const void *)descriptor, "spandrel", 8) != 0) return 3;
    descriptor[strtoull(argv[1], NULL, 0)] = strtoull(argv[2], NULL, 0);
    printf("ready %p\n", block);
    fflush(stdout);
    return getchar() == EOF ? 0 : 1;
}
