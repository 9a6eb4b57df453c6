// The report of mode tracked leaves out what libstdc++ keeps for itself, such as its reserve for exceptions, and shows
// what it allocated for the program.
// env: SPANDREL_MODE=tracked
// run: nothing
// args: nothing
// expect: exit 0 stdout said
// says: spandrel: tracked: 0 blocks of 0 bytes are live at exit, from 0 call stacks
// says: spandrel: tracked: kept by libc and libstdc++: … blocks of … bytes
// run: for_the_program
// args: leak
// expect: exit 0 stdout said
// says: spandrel: tracked: 2 blocks of … bytes are live at exit, from 2 call stacks
// says: spandrel: tracked: #1 501 bytes in 1 blocks
// variants: preload linked
#include <iostream>
#include <locale>
#include <stdexcept>
#include <string>

int main(int, char **argv) {
    std::ios_base::sync_with_stdio(false);
    std::cout.imbue(std::locale::classic());
    try {
        throw std::runtime_error("caught");
    } catch (const std::exception &) {
    }
    std::cout << "said" << std::endl;
    static std::string *volatile kept;
    if (argv[1][0] == 'l') {
        kept = new std::string;
        // Allocated inside libstdc++, for the program.
        kept->append(500, 'x');
    }
    return 0;
}
