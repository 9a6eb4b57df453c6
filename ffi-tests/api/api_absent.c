// Without the library the weak names of spandrel.h are null: a program can ask cheaply whether it is there (10).
// expect: exit 0
// only: glibc
#include "check.h"
#include "spandrel_weak.h"

int main(void) {
    CHECK(spandrel_is_active == NULL && spandrel_version == NULL && spandrel_stats == NULL);
    return 0;
}
