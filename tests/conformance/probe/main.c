#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *errno_name(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = { { 0, "0" },
                  { EPERM, "EPERM" },
                  { ENOENT, "ENOENT" },
                  { EIO, "EIO" },
                  { EBADF, "EBADF" },
                  { EAGAIN, "EAGAIN" },
                  { ENOMEM, "ENOMEM" },
                  { EACCES, "EACCES" },
                  { EBUSY, "EBUSY" },
                  { EEXIST, "EEXIST" },
                  { EXDEV, "EXDEV" },
                  { ENODEV, "ENODEV" },
                  { ENOTDIR, "ENOTDIR" },
                  { EISDIR, "EISDIR" },
                  { EINVAL, "EINVAL" },
                  { ENOSPC, "ENOSPC" },
                  { EROFS, "EROFS" },
                  { EMLINK, "EMLINK" },
                  { ENAMETOOLONG, "ENAMETOOLONG" },
                  { ENOSYS, "ENOSYS" },
                  { ENOTEMPTY, "ENOTEMPTY" },
                  { ELOOP, "ELOOP" },
                  { ENODATA, "ENODATA" },
                  { EOPNOTSUPP, "EOPNOTSUPP" },
                  { ESTALE, "ESTALE" },
                  { ENXIO, "ENXIO" },
                  { ENOTTY, "ENOTTY" },
                  { ECONNREFUSED, "ECONNREFUSED" },
                  { EAFNOSUPPORT, "EAFNOSUPPORT" },
                  { EPROTONOSUPPORT, "EPROTONOSUPPORT" },
                  { ESOCKTNOSUPPORT, "ESOCKTNOSUPPORT" },
                  { ENETUNREACH, "ENETUNREACH" },
                  { ENOKEY, "ENOKEY" },
                  { ESRCH, "ESRCH" },
                  { EFAULT, "EFAULT" },
                  { ETXTBSY, "ETXTBSY" } };
    static char other[16];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == number)
            return names[i].name;
    snprintf(other, sizeof other, "%d", number);
    return other;
}

static void hex_print(const void *data, size_t len)
{
    const unsigned char *at = data;

    for (size_t i = 0; i < len; i++)
        printf("%02x", at[i]);
}

/* Each argument in hex, a line each. */
static int args_print(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        hex_print(argv[i], strlen(argv[i]));
        putchar('\n');
    }
    return 0;
}

static int fds_print(void)
{
    for (int fd = 0; fd < 65536; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("%d\n", fd);
    return 0;
}

static int signals_print(void)
{
    struct sigaction action;
    sigset_t blocked;

    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int number = 1; number < 65; number++) {
        if (sigismember(&blocked, number) == 1)
            printf("blocked %d\n", number);
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            printf("ignored %d\n", number);
    }
    return 0;
}

static int bytes_write(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* n bytes of a pattern that tells every place from every other: 8-byte words, little-endian, of index * odd + seed. */
static int pattern_write(int fd, uint64_t n, uint64_t seed)
{
    static uint64_t block[8192];

    for (uint64_t done = 0; done < n;) {
        uint64_t len = n - done < sizeof block ? n - done : sizeof block;

        for (size_t i = 0; i < sizeof block / sizeof *block; i++)
            block[i] = (done / 8 + i) * UINT64_C(0x9E3779B97F4A7C15) + seed;
        if (bytes_write(fd, (const char *)block, (size_t)len) < 0)
            return 1;
        done += len;
    }
    return 0;
}

/* The pattern on stdout with seed 1, and on stderr with seed 2, both at once if both are asked for. */
static int pattern_print(const char *out, const char *err)
{
    uint64_t n_out = strtoull(out, NULL, 10), n_err = err ? strtoull(err, NULL, 10) : 0;
    pid_t child = n_err ? fork() : -1;
    int status = 0;

    if (child == 0)
        _exit(pattern_write(STDERR_FILENO, n_err, 2));
    if (pattern_write(STDOUT_FILENO, n_out, 1))
        return 1;
    if (child > 0 && waitpid(child, &status, 0) < 0)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int memory_touch(const char *mib)
{
    size_t len = (size_t)atoi(mib) << 20;
    char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return 1;
    memset(at, 1, len);
    printf("%d\n", at[len - 1]);
    return 0;
}

/* Forks up to n children that sleep; says how many there were and why no more. */
static int forks_count(const char *limit)
{
    int max = atoi(limit), n = 0, why = 0;
    pid_t *children = calloc((size_t)max, sizeof *children);

    while (children && n < max) {
        pid_t child = fork();

        if (child == 0)
            for (;;)
                pause();
        if (child < 0) {
            why = errno;
            break;
        }
        children[n++] = child;
    }
    for (int i = 0; i < n; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    free(children);
    printf("%d %s\n", n, errno_name(why));
    return 0;
}

/* Reads a file over and over for ms; counts what was read: "public", text that begins with the marker, or nothing. */
static int file_race(const char *path, const char *ms, const char *marker)
{
    unsigned long public = 0, secret = 0, errors = 0;
    struct timespec now, end;
    char buf[256];

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += atoi(ms) / 1000;
    do {
        int fd = open(path, O_RDONLY);
        ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);

        if (fd >= 0)
            close(fd);
        buf[n > 0 ? n : 0] = '\0';
        if (n > 0 && !strncmp(buf, marker, strlen(marker)))
            secret++;
        else if (n > 0 && !strncmp(buf, "public", 6))
        public++;
        else errors++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
    printf("%lu %lu %lu\n", public, secret, errors);
    return 0;
}

/* Computes for ms of wall time. */
static int spin(const char *ms)
{
    struct timespec now, end;
    int64_t ns = (int64_t)atoi(ms) * 1000000;

    clock_gettime(CLOCK_MONOTONIC, &end);
    ns += (int64_t)end.tv_sec * 1000000000 + end.tv_nsec;
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec < ns);
    return 0;
}

/* Every entry of a directory: its name in hex, then its content if it is a file that opens. Order is the kernel's. */
static int names_print(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (!dir)
        return 1;
    while ((entry = readdir(dir))) {
        char buf[64];
        int fd;
        ssize_t n;

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_NONBLOCK);
        n = fd < 0 ? -1 : read(fd, buf, sizeof buf);
        hex_print(entry->d_name, strlen(entry->d_name));
        printf(" %.*s\n", n > 0 ? (int)n : 0, buf);
        if (fd >= 0)
            close(fd);
    }
    closedir(dir);
    return 0;
}

/* Children that end at once and are orphaned at once, so that the sandbox's init has them to reap. */
static int orphans_make(const char *count)
{
    for (int i = atoi(count); i > 0; i--) {
        pid_t child = fork();

        if (child == 0) {
            if (fork() == 0)
                usleep(1000);
            _exit(0);
        }
        if (child < 0 || waitpid(child, NULL, 0) < 0)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (!strcmp(what, "args"))
        return args_print(argc - 2, argv + 2);
    if (!strcmp(what, "fds"))
        return fds_print();
    if (!strcmp(what, "signals"))
        return signals_print();
    if (!strcmp(what, "ops"))
        return probe_ops(argc - 2, argv + 2);
    if (!strcmp(what, "pattern") && argc > 2)
        return pattern_print(argv[2], argv[3]);
    if (!strcmp(what, "memory") && argc == 3)
        return memory_touch(argv[2]);
    if (!strcmp(what, "spin") && argc == 3)
        return spin(argv[2]);
    if (!strcmp(what, "forks") && argc == 3)
        return forks_count(argv[2]);
    if (!strcmp(what, "race") && argc == 5)
        return file_race(argv[2], argv[3], argv[4]);
    if (!strcmp(what, "names") && argc == 3)
        return names_print(argv[2]);
    if (!strcmp(what, "orphans") && argc == 3)
        return orphans_make(argv[2]);
    if (!strcmp(what, "io") && argc == 3)
        return probe_io(argv[2]);
    if (!strcmp(what, "links") && argc == 3)
        return probe_links(argv[2]);
    if (!strcmp(what, "steal") && argc == 3)
        return probe_steal(argv[2]);
    if (!strcmp(what, "escape") && argc > 2)
        return probe_escape(argv[2], argc > 3 ? argv[3] : "");
    fprintf(stderr, "probe: what is '%s'?\n", what);
    return 2;
}
