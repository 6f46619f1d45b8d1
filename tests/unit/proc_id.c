/* What counts as a process's end. */
#include "proc_id.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *outlive(void *arg)
{
    pause();
    return arg;
}

/* A child whose first thread has ended, and another has not: as after a kill that the other cannot heed yet. */
static pid_t headless_make(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, outlive, NULL))
            _exit(1);
        syscall(SYS_exit, 0);
    }
    cr_assert(pid > 0);
    return pid;
}

static void await_headless(pid_t pid)
{
    struct proc_stat stat;

    do {
        cr_assert(proc_stat_read(pid, &stat));
        usleep(1000);
    } while (stat.state != 'Z');
}

Test(proc_id, L8_the_end_of_a_first_thread, .timeout = 300)
{
    const pid_t pid = headless_make();
    const struct proc_id id = proc_id_of(pid);

    await_headless(pid);
    cr_expect(proc_id_is_alive(&id), "another thread is at work still");
    cr_expect(!proc_id_first_is_alive(&id));
    kill(pid, SIGKILL);
    cr_assert(waitpid(pid, NULL, 0) == pid);
    cr_expect(!proc_id_first_is_alive(&id) && !proc_id_is_alive(&id));
}
