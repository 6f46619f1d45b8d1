/* Reaping what a plugin has started, and nothing else. */
#include "children.h"
#include "proc_id.h"

#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that has ended and is not reaped. */
static pid_t zombie_make(void)
{
    siginfo_t ended;
    pid_t pid = fork();

    if (pid == 0)
        _exit(7);
    cr_assert(pid > 0 && waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT) == 0);
    return pid;
}

Test(children, A5_a_number_that_is_the_hosts_child_now_is_not_reaped)
{
    struct proc_id id = proc_id_of(zombie_make());
    int status;

    id.start++; /* an earlier process of that number */
    cr_expect(child_reap(&id), "nothing is left to be reaped");
    cr_assert(waitpid(id.pid, &status, 0) == id.pid, "the host's child was taken from it");
    cr_expect(WEXITSTATUS(status) == 7);
}

Test(children, A5_each_is_reaped_once_it_has_ended)
{
    int hold[2];
    pid_t ended = zombie_make(), living;

    cr_assert(pipe(hold) == 0);
    living = fork();
    if (living == 0) {
        char end;

        (void)close(hold[1]);
        _exit((int)read(hold[0], &end, 1));
    }
    children_add(ended);
    children_add(living);
    children_reap();
    cr_expect(waitpid(ended, NULL, WNOHANG) == -1, "the one that has ended is a zombie");
    cr_expect(waitpid(living, NULL, WNOHANG) == 0, "the one that lives is still a child");
    (void)close(hold[1]);
    cr_expect(waitid(P_PID, (id_t)living, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) == 0);
    children_reap();
    cr_expect(waitpid(living, NULL, WNOHANG) == -1, "it has ended, and is a zombie");
}
