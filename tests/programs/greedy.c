// Takes and writes a mebibyte at a time until it gets no more, and says how many there were.
#include "check.h"

int main(void) {
    int count = 0;
    for (char *block; count < 200 && (block = opaque(malloc(MIB))) != NULL; count++) fill(block, MIB, 1);
    CHECK(errno == ENOMEM || count == 200);
    char text[32];
    int length = snprintf(text, sizeof text, "mebibytes=%d\n", count);
    CHECK(write(1, text, (size_t)length) == length);
    return 0;
}
