// An ordinary program, which knows nothing of Spandrel but one weak name. The environment decides: LD_PRELOAD=libspandrel.so ./preload
// Run it twice, without and with the library: make -C examples preload
// Prints:
//   malloc is served by libc
//   malloc is served by Spandrel
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Null where the library is not there. A program that does not ask needs not even this line.
__attribute__((weak)) bool spandrel_is_active(void);

int main(void) {
    char *text = malloc(100);
    if (text == NULL) return 1;
    strcpy(text, "malloc is served by ");
    strcat(text, spandrel_is_active && spandrel_is_active() ? "Spandrel" : "libc");
    puts(text);
    free(text);
    return 0;
}
