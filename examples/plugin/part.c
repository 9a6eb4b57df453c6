// The plugin of host.c: knows nothing of Spandrel.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

char *plugin_upper(char *text) {
    size_t length = strlen(text);
    char *result = malloc(length + 1);
    for (size_t i = 0; result != NULL && i <= length; i++) result[i] = (char)toupper((unsigned char)text[i]);
    free(text);
    return result;
}
