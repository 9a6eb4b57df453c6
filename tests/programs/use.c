/* Uses the library as an installed one: ends with 0 if its malloc is Spandrel's. */
#include <spandrel.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    void *block = malloc(100);
    int active = block != NULL && spandrel_is_active();
    free(block);
    puts(active ? "active" : "not active");
    return active ? 0 : 1;
}
