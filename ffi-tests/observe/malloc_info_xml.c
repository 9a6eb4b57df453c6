// malloc_info writes a complete malloc element for option 0 and refuses other options with EINVAL (20).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    char *text = NULL;
    size_t length = 0;
    void *live = opaque(malloc(5000));
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream != NULL && malloc_info(0, stream) == 0 && fclose(stream) == 0);
    CHECK(strncmp(text, "<malloc version=\"", 17) == 0);
    CHECK(strstr(text, "</malloc>") != NULL);
    size_t open_tags = 0, close_tags = 0;
    for (size_t i = 0; i < length; i++) {
        open_tags += text[i] == '<';
        close_tags += text[i] == '>';
    }
    CHECK(open_tags == close_tags && open_tags >= 2);
    errno = 0;
    int refused = malloc_info(1, stderr);
    CHECK(refused == EINVAL || (refused == -1 && errno == EINVAL));
    free(text);
    free(live);
    return 0;
}
