/* Whom the agent outlives: nobody, until it is released (agent_proto.h). The real agent, beside this process. */
#include "agent_client.h"
#include "build.h"
#include "proc_id.h"
#include "runtime.h"
#include "util.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct runtime rt = { .closing_fd = -1 };
static char dir[] = "/tmp/stockade-lease.XXXXXX";
static int dir_fd, listen_fd, lease;
static pid_t agent, host; /* the host is a process that only waits for its end */

static pid_t host_start(void)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static pid_t agent_start(void)
{
    char *program = build_path("libexec/stockade/agent"), path[sizeof dir + 8];
    pid_t pid;

    snprintf(path, sizeof path, "%s/boot", dir);
    pid = fork();
    if (pid == 0) {
        execl(program, "agent", path, (char *)NULL);
        _exit(126);
    }
    free(program);
    return pid;
}

static void up(void)
{
    struct op op;
    struct proc_id id;
    struct agent_terms terms = { 0 };
    int boot_fd, init_fd;

    cr_assert(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    boot_fd = socket_listen(dir_fd, "boot", 0600);
    listen_fd = socket_listen(dir_fd, "agent", 0600);
    host = host_start();
    agent = agent_start();
    id = proc_id_of(agent);
    init_fd = proc_id_open(&id);
    cr_assert(boot_fd >= 0 && listen_fd >= 0 && host > 0 && agent > 0 && init_fd >= 0);
    op_init_quiet(&op, &rt);
    id = proc_id_of(host);
    terms.listen_fd = listen_fd;
    terms.host_fd = proc_id_open(&id);
    terms.notes_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    cr_assert(agent_boot(&op, boot_fd, agent, init_fd, &terms, now_ns() + HANG_S * NS_PER_S, &lease) == RT_OK, "%s",
              op.err->message);
    close(boot_fd);
    close(init_fd);
    close(terms.host_fd);
    close(terms.notes_fd);
}

static void down(void)
{
    pid_t pids[] = { agent, host };

    for (size_t i = 0; i < 2; i++)
        if (pids[i] > 0 && kill(pids[i], SIGKILL) == 0)
            (void)waitpid(pids[i], NULL, 0);
    (void)unlinkat(dir_fd, "boot", 0);
    (void)unlinkat(dir_fd, "agent", 0);
    (void)rmdir(dir);
}

static void host_end(void)
{
    cr_assert(kill(host, SIGKILL) == 0 && waitpid(host, NULL, 0) == host);
    host = 0;
}

static void agent_stop(void)
{
    int status;

    cr_assert(kill(agent, SIGSTOP) == 0 && waitpid(agent, &status, WUNTRACED) == agent && WIFSTOPPED(status));
}

static void release(void)
{
    struct op op;

    op_init_quiet(&op, &rt);
    cr_assert(agent_release(&op, lease) == RT_OK, "%s", op.err->message);
}

static bool has_ended(void)
{
    bool ended = waitpid(agent, NULL, 0) == agent;

    if (ended)
        agent = 0;
    return ended;
}

/* It turns away whoever is in its own pid namespace, and with that has come round to what was there before. */
static bool goes_on(void)
{
    int fd = socket_connect(dir_fd, "agent");
    char byte;
    bool turned_away = fd >= 0 && recv(fd, &byte, 1, 0) <= 0;

    close(fd);
    return turned_away && waitpid(agent, NULL, WNOHANG) == 0;
}

TestSuite(agent_lease, .init = up, .fini = down, .timeout = HANG_S);

Test(agent_lease, lives_while_it_is_held)
{
    cr_expect(goes_on());
}

Test(agent_lease, ends_with_its_connection)
{
    close(lease);
    cr_expect(has_ended());
}

Test(agent_lease, ends_with_its_host_where_another_holds_the_connection)
{
    host_end();
    cr_expect(has_ended());
}

Test(agent_lease, outlives_both_once_it_is_released)
{
    release();
    cr_expect(goes_on());
    close(lease);
    host_end();
    cr_expect(goes_on());
}

/* As a command does that starts a sandbox and is done. */
Test(agent_lease, outlives_a_host_that_ends_before_the_release_is_read)
{
    agent_stop();
    release();
    host_end();
    close(lease);
    cr_assert(kill(agent, SIGCONT) == 0);
    cr_expect(goes_on());
}

/* Both of one round of its loop, in the other order. */
Test(agent_lease, outlives_a_host_whose_end_is_seen_before_the_release)
{
    agent_stop();
    host_end();
    release();
    close(lease);
    cr_assert(kill(agent, SIGCONT) == 0);
    cr_expect(goes_on());
}
