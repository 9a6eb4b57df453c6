// A program samples its own requests for as long as it likes and writes a heap profile, which `spandrel profile show FILE`, `go tool
// pprof` and others read. Argument: the file to write.
// Run it: make -C examples heap_profile
// Prints:
//   a heap profile was written, and it is a gzip file
#include <spandrel.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 2000 };

static void *blocks[COUNT];

// The profile names the functions that asked for memory, and those that called them.
static __attribute__((noinline)) void load_pictures(void) {
    for (int i = 0; i < COUNT / 2; i++) blocks[i] = malloc(20000);
}

static __attribute__((noinline)) void load_names(void) {
    for (int i = COUNT / 2; i < COUNT; i++) blocks[i] = malloc(50);
}

int main(int count, char **words) {
    if (count != 2) return 2;
    // On average one request in so many bytes is a sample; 0 for the default of 512 KiB.
    if (!spandrel_profile_start(16 << 10)) return 1;
    load_pictures();
    load_names();
    spandrel_profile_stop();
    if (!spandrel_profile_dump(words[1])) return 1;

    FILE *file = fopen(words[1], "rb");
    if (file == NULL) return 1;
    int first = fgetc(file), second = fgetc(file);
    fclose(file);
    printf("a heap profile was written, and it is %s\n", first == 0x1f && second == 0x8b ? "a gzip file" : "something else");
    for (int i = 0; i < COUNT; i++) free(blocks[i]);
    return 0;
}
