// Blocks which libc functions allocate for the caller (strdup, asprintf, getline, realpath, …) are freed and resized by
// it (6).
// expect: exit 0
// variants: preload linked static glibc
#include <dirent.h>
#include <glob.h>
#include <locale.h>
#include <netdb.h>
#include <wchar.h>
#include "check.h"

int main(void) {
    for (int round = 0; round < 50; round++) {
        char *text = opaque(strdup("text")), *line = NULL, *path = opaque(realpath("/proc/self", NULL));
        CHECK(text != NULL && path != NULL);
        text = opaque(realloc(text, 5000));
        CHECK(text != NULL && strcmp(text, "text") == 0);
        free(text);
        free(path);
        CHECK(asprintf(&text, "%0*d", 3000 + round, 7) == 3000 + round);
        free(text);
        FILE *file = fopen("/proc/self/maps", "r");
        size_t room = 0;
        CHECK(file != NULL);
        while (getline(&line, &room, file) > 0) CHECK(malloc_usable_size(line) >= room);
        free(line);
        fclose(file);
        size_t length = 0;
        file = open_memstream(&text, &length);
        for (int i = 0; i < 2000; i++) fprintf(file, "%d", i);
        CHECK(fclose(file) == 0 && strlen(text) == length);
        free(text);
        struct dirent **entries = NULL;
        int count = scandir("/", &entries, NULL, alphasort);
        CHECK(count > 2);
        while (count > 0) free(entries[--count]);
        free(entries);
        glob_t matches;
        CHECK(glob("/e*", 0, NULL, &matches) == 0);
        globfree(&matches);
        char *directory = opaque(getcwd(NULL, 0));
        CHECK(directory != NULL && setlocale(LC_ALL, "C") != NULL);
        free(directory);
        wchar_t *wide = opaque(wcsdup(L"wide"));
        free(wide);
    }
    struct addrinfo *found = NULL, hints = {.ai_flags = AI_NUMERICHOST};
    CHECK(getaddrinfo("127.0.0.1", "80", &hints, &found) == 0);
    freeaddrinfo(found);
    return 0;
}
