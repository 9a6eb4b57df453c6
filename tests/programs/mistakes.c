// Mistakes that tools which watch every access find, one of each kind; built without optimisation, so that they stay.
#include <stdlib.h>
#include <string.h>

int main(void) {
    volatile char *volatile freed = malloc(100);
    memset((char *)freed, 1, 100);
    free((char *)freed);
    char seen = freed[5];
    char *volatile small = malloc(50), *volatile large = malloc(70000);
    small[50] = seen;
    large[70000] = seen;
    int *volatile unset = malloc(8);
    if (*unset == 4711) memset(small, 2, 10);
    free(unset);
    free(small);
    free(large);
    char *volatile lost = malloc(333);
    lost[0] = 1;
    lost = NULL;
    return 0;
}
