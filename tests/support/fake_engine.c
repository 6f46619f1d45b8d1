#include "fake_engine.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 65536

struct fake_engine {
    pthread_t thread;
    char dir[64], address[96];
    int listen_fd, stop_fd;
    const struct fake_answer *answers;
    size_t n_answers, n_requests;
    pthread_mutex_t lock; /* guards log */
    char log[8192];
};

/* False if the test is over. */
static bool readable(struct fake_engine *fake, int fd)
{
    struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = fake->stop_fd, .events = POLLIN } };

    return poll(fds, 2, -1) > 0 && !fds[1].revents;
}

/* Reads one request with its body; false at its end. */
static bool request_read(struct fake_engine *fake, int fd, char *text)
{
    size_t len = 0, want = 0;

    for (;;) {
        char *end, *length;
        ssize_t n;

        if (!readable(fake, fd) || (n = read(fd, text + len, REQUEST_MAX - 1 - len)) <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
        end = strstr(text, "\r\n\r\n");
        if (!end)
            continue;
        length = strcasestr(text, "\r\nContent-Length:");
        want = (size_t)(end - text) + 4 + (length ? strtoul(length + 17, NULL, 10) : 0);
        if (len >= want)
            return true;
    }
}

static void request_log(struct fake_engine *fake, const char *text)
{
    size_t used;

    pthread_mutex_lock(&fake->lock);
    used = strlen(fake->log);
    snprintf(fake->log + used, sizeof fake->log - used, "%.*s\n", (int)strcspn(text, "\r\n"), text);
    pthread_mutex_unlock(&fake->lock);
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static void answer_send(int fd, const struct fake_answer *answer)
{
    static char block[65536];
    const char *body = answer->body ? answer->body : "";
    size_t len = strlen(body), left = answer->repeat;
    char head[200];

    if (answer->raw)
        send_all(fd, answer->raw, strlen(answer->raw));
    if (!answer->status)
        return;
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             answer->status, answer->length ? answer->length : len + left);
    send_all(fd, head, strlen(head));
    send_all(fd, body, len);
    if (left)
        memset(block, body[len - 1], sizeof block);
    while (left) {
        size_t n = left < sizeof block ? left : sizeof block;

        send_all(fd, block, n);
        left -= n;
    }
}

static void serve(struct fake_engine *fake, int fd)
{
    char *text = malloc(REQUEST_MAX);

    while (request_read(fake, fd, text)) {
        size_t i = fake->n_requests++;
        const struct fake_answer *answer = &fake->answers[i < fake->n_answers ? i : fake->n_answers - 1];

        request_log(fake, text);
        answer_send(fd, answer);
        if (answer->after == FAKE_CLOSE)
            break;
        if (answer->after == FAKE_HANG) {
            while (readable(fake, fd) && read(fd, text, REQUEST_MAX) > 0)
                ;
            break;
        }
    }
    free(text);
    close(fd);
}

static void *run(void *arg)
{
    struct fake_engine *fake = arg;

    while (readable(fake, fake->listen_fd)) {
        int fd = accept4(fake->listen_fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            serve(fake, fd);
    }
    return NULL;
}

struct fake_engine *fake_engine_start(const struct fake_answer *answers, size_t n)
{
    struct fake_engine *fake = calloc(1, sizeof *fake);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    fake->answers = answers;
    fake->n_answers = n;
    pthread_mutex_init(&fake->lock, NULL);
    strcpy(fake->dir, "/tmp/fake-engine.XXXXXX");
    fake->stop_fd = eventfd(0, EFD_CLOEXEC);
    fake->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!mkdtemp(fake->dir))
        abort();
    snprintf(fake->address, sizeof fake->address, "unix://%s/socket", fake->dir);
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/socket", fake->dir);
    if (bind(fake->listen_fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fake->listen_fd, 16) < 0 ||
        pthread_create(&fake->thread, NULL, run, fake) != 0)
        abort();
    return fake;
}

const char *fake_engine_address(const struct fake_engine *fake)
{
    return fake->address;
}

char *fake_engine_requests(struct fake_engine *fake)
{
    char *copy;

    pthread_mutex_lock(&fake->lock);
    copy = strdup(fake->log);
    pthread_mutex_unlock(&fake->lock);
    return copy;
}

void fake_engine_stop(struct fake_engine *fake)
{
    char path[96];

    (void)!write(fake->stop_fd, &(unsigned long long){ 1 }, sizeof(unsigned long long));
    pthread_join(fake->thread, NULL);
    snprintf(path, sizeof path, "%s/socket", fake->dir);
    unlink(path);
    rmdir(fake->dir);
    close(fake->listen_fd);
    close(fake->stop_fd);
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}
