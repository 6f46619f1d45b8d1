/*
 * libcurl before 8.8 makes the pair of sockets by which a multi handle is woken without close-on-exec, and tells nobody
 * their numbers. They are found by waking it: one socket then has a byte more to read, the other one more on its way.
 */
#include "engine.h"

#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define CANDIDATES_MAX 256
#define ROUNDS         2

struct candidate {
    int fd, unread, unsent;
    bool reads, writes; /* grew in every round so far */
};

static bool is_candidate(int fd)
{
    int domain, type, flags = fcntl(fd, F_GETFD);
    socklen_t len = sizeof domain, type_len = sizeof type;

    return flags >= 0 && !(flags & FD_CLOEXEC) && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           domain == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 && type == SOCK_STREAM;
}

static size_t candidates_find(struct candidate *ret)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    size_t n = 0;

    while (dir && n < CANDIDATES_MAX && (entry = readdir(dir))) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] != '.' && is_candidate(fd))
            ret[n++] = (struct candidate){ .fd = fd, .reads = true, .writes = true };
    }
    if (dir)
        closedir(dir);
    return n;
}

static void measure(const struct candidate *candidate, int *ret_unread, int *ret_unsent)
{
    *ret_unread = *ret_unsent = 0;
    (void)ioctl(candidate->fd, FIONREAD, ret_unread);
    (void)ioctl(candidate->fd, SIOCOUTQ, ret_unsent);
}

void curl_close_on_exec(CURLM *multi)
{
    struct candidate all[CANDIDATES_MAX];
    size_t n = candidates_find(all);

    for (int round = 0; n && round < ROUNDS; round++) {
        for (size_t i = 0; i < n; i++)
            measure(&all[i], &all[i].unread, &all[i].unsent);
        (void)curl_multi_wakeup(multi);
        for (size_t i = 0; i < n; i++) {
            int unread, unsent;

            measure(&all[i], &unread, &unsent);
            all[i].reads = all[i].reads && unread == all[i].unread + 1;
            all[i].writes = all[i].writes && unsent > all[i].unsent;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (all[i].reads || all[i].writes)
            (void)fcntl(all[i].fd, F_SETFD, FD_CLOEXEC);
    if (n)
        (void)curl_multi_poll(multi, NULL, 0, 0, NULL); /* takes the bytes out again */
}
