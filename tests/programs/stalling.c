// A process that lets its readers wait without end: a word of the library's descriptor leads to a page of a file
// system of its own, which never delivers it. Usage: stalling WORD. Without a WORD it ends at once, with status 0 if
// the kernel lets it have such a file system.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096, FILE_NODE = 2, SECONDS = 1000 };

// Where the file system is, for this process alone.
#define PLACE "/mnt"

static void answer(int device, unsigned long unique, int error, const void *body, size_t len) {
    struct fuse_out_header head = {.len = (unsigned)(sizeof head + len), .error = -error, .unique = unique};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)body, len}};
    if (writev(device, parts, 2) < 0) _exit(1);
}

static struct fuse_attr about(unsigned long node) {
    struct fuse_attr attr = {.ino = node, .nlink = 1, .blksize = PAGE};
    attr.mode = node == FILE_NODE ? S_IFREG | 0444 : S_IFDIR | 0755;
    attr.size = node == FILE_NODE ? PAGE : 0;
    return attr;
}

// Answers until the file is mapped and closed, and nothing afterwards: a request that was not read can be given up by
// its sender.
static void serve(int device) {
    static char request[1 << 18];
    for (;;) {
        if (read(device, request, sizeof request) < 0) _exit(1);
        const struct fuse_in_header *in = (const void *)request;
        struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = PAGE};
        struct fuse_entry_out entry = {.nodeid = FILE_NODE, .entry_valid = SECONDS, .attr_valid = SECONDS};
        struct fuse_attr_out attr = {.attr_valid = SECONDS, .attr = about(in->nodeid)};
        struct fuse_open_out opened = {0};
        entry.attr = about(FILE_NODE);
        switch (in->opcode) {
        case FUSE_INIT: answer(device, in->unique, 0, &init, sizeof init); break;
        case FUSE_LOOKUP: answer(device, in->unique, 0, &entry, sizeof entry); break;
        case FUSE_GETATTR: answer(device, in->unique, 0, &attr, sizeof attr); break;
        case FUSE_OPEN: answer(device, in->unique, 0, &opened, sizeof opened); break;
        case FUSE_FLUSH: answer(device, in->unique, 0, NULL, 0); for (;;) pause();
        default: answer(device, in->unique, ENOSYS, NULL, 0);
        }
    }
}

// The page, or NULL.
static char *page_that_never_comes(void) {
    char options[100];
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0 || unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return NULL;
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u", device, geteuid(), getegid());
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return NULL;
    if (mount("stalling", PLACE, "fuse", MS_NOSUID | MS_NODEV, options) != 0) return NULL;
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) serve(device);
        _exit(1);
    }
    close(device);
    int file = open(PLACE "/file", O_RDONLY | O_CLOEXEC);
    char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    return child < 0 || page == MAP_FAILED || close(file) != 0 ? NULL : page;
}

int main(int argc, char **argv) {
    char *page = page_that_never_comes();
    if (page == NULL) return 2;
    if (argc < 2) return 0;
    void *volatile block = malloc(100);
    free(block);
    volatile size_t *descriptor = dlsym(RTLD_DEFAULT, "spandrel_live");
    if (descriptor == NULL || memcmp((const void *)descriptor, "spandrel", 8) != 0) return 3;
    descriptor[strtoull(argv[1], NULL, 0)] = (size_t)page;
    printf("ready %p\n", block);
    fflush(stdout);
    return getchar() == EOF ? 0 : 1;
}
