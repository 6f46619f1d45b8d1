/*
 * Which process belongs to which command, and ending them all.
 *
 * With a cgroup the kernel knows, and cgroup.kill ends them. Without one every command is a subreaper: while it
 * lives, its descendants stay below it, whatever they forked or setsid. When it dies they become children of the
 * agent, and nothing in /proc says whose they were. So from the first SIGTERM of a tree until its end, each process
 * that the agent newly adopts is told apart by what has just died: the command being ended, or something else.
 */
#include "agent.h"
#include "procs.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_TICK_MS 2
#define TERM_TICK_MS 10

struct adopted {
    pid_t pid;
    struct cmd *owner;
};

static struct adopted *adopted; /* children of the agent that are no command; kept while a tree is being ended */
static size_t n_adopted, cap_adopted;

struct cmd *cmd_by_pid(pid_t pid)
{
    for (struct cmd *cmd = cmds; cmd; cmd = cmd->next)
        if (cmd->pid == pid)
            return cmd;
    return NULL;
}

static struct adopted *adopted_find(pid_t pid)
{
    for (size_t i = 0; i < n_adopted; i++)
        if (adopted[i].pid == pid)
            return &adopted[i];
    return NULL;
}

static bool is_ending(const struct cmd *cmd)
{
    return (cmd->phase == CMD_TERMINATING || cmd->phase == CMD_KILLING) && cmd->kill_fd < 0;
}

static bool any_ending(void)
{
    for (struct cmd *cmd = cmds; cmd; cmd = cmd->next)
        if (is_ending(cmd))
            return true;
    return false;
}

/* Every child of the agent that is not known yet becomes owner's. */
static void adopt_new(struct cmd *owner)
{
    for (size_t i = 0; i < n_procs; i++) {
        struct adopted *bigger;

        if (procs[i].ppid != 1 || cmd_by_pid(procs[i].pid) || adopted_find(procs[i].pid))
            continue;
        bigger = grow(adopted, &cap_adopted, n_adopted, sizeof *adopted);
        if (!bigger)
            return;
        adopted = bigger;
        adopted[n_adopted++] = (struct adopted){ procs[i].pid, owner };
    }
}

/* Marks who is in the tree of a command that is being ended. */
static void mark_owners(void)
{
    for (size_t i = 0; i < n_procs; i++) {
        struct cmd *cmd = cmd_by_pid(procs[i].pid);
        struct adopted *known = adopted_find(procs[i].pid);

        procs[i].owner = cmd && is_ending(cmd) ? cmd : known ? known->owner : NULL;
    }
    procs_inherit(1);
}

/* From the first tree that is being ended on, all that is adopted already is known to be nobody's. */
static void begin_tracking(void)
{
    if (any_ending())
        return;
    n_adopted = 0;
    if (procs_scan())
        adopt_new(NULL);
}

void tree_signal(struct cmd *cmd, int sig)
{
    if (cmd->kill_fd < 0 && cmd->phase == CMD_RUNNING) {
        begin_tracking();
        cmd->phase = CMD_TERMINATING;
    }
    if (cmd->kill_fd >= 0 || !procs_scan())
        return;
    mark_owners();
    for (size_t i = 0; i < n_procs; i++) {
        if (procs[i].owner != cmd || procs[i].zombie)
            continue;
        kill(procs[i].pid, sig);
        kill(procs[i].pid, SIGCONT); /* a stopped process acts on no signal but these two */
    }
}

void tree_kill(struct cmd *cmd)
{
    if (cmd->gone) /* the news of that and this wish have crossed */
        return;
    if (cmd->kill_fd >= 0) {
        cmd->phase = CMD_KILLING;
        if (write(cmd->kill_fd, "1", 1) != 1 && cmd->pid)
            kill(cmd->pid, SIGKILL);
        if (!cmd->pid)
            cmd_finish_kill(cmd);
        return;
    }
    if (cmd->phase == CMD_RUNNING)
        begin_tracking();
    cmd->phase = CMD_KILLING;
}

/* One pass: stop what still runs, so that it cannot fork away, then kill. Returns whether anything was alive. */
static bool kill_pass(struct cmd *cmd)
{
    bool alive = false;

    for (size_t i = 0; i < n_procs; i++) {
        if (procs[i].owner != cmd || procs[i].zombie || procs[i].pid == cmd->pid)
            continue;
        alive = true;
        kill(procs[i].pid, SIGSTOP);
    }
    for (size_t i = 0; i < n_procs; i++)
        if (procs[i].owner == cmd && !procs[i].zombie && procs[i].pid != cmd->pid)
            kill(procs[i].pid, SIGKILL);
    /* The command itself last: while it lives, those below it cannot be mistaken. */
    if (cmd->pid)
        kill(cmd->pid, alive ? SIGSTOP : SIGKILL);
    return alive || cmd->pid;
}

static bool tree_alive(const struct cmd *cmd)
{
    for (size_t i = 0; i < n_procs; i++)
        if (procs[i].owner == cmd && !procs[i].zombie)
            return true;
    return cmd->pid != 0;
}

int tree_tick(void)
{
    bool scanned = false;
    int wait = -1;

    for (struct cmd *cmd = cmds, *next; cmd; cmd = next) {
        bool killing = cmd->phase == CMD_KILLING;

        next = cmd->next; /* cmd may leave the list below */
        if (!is_ending(cmd))
            continue;
        if (!scanned && !procs_scan())
            return TERM_TICK_MS;
        if (!scanned)
            mark_owners();
        scanned = true;
        if (!(killing ? kill_pass(cmd) : tree_alive(cmd)))
            cmd_finish_kill(cmd);
        else if (wait < 0 || killing)
            wait = killing ? KILL_TICK_MS : TERM_TICK_MS;
    }
    return wait;
}

/* The ended command, if any, among whose children what was newly adopted must be looked for. */
static struct cmd *owner_of_dead(pid_t pid, struct cmd *cmd)
{
    struct adopted *known = adopted_find(pid);

    if (cmd)
        return is_ending(cmd) ? cmd : NULL;
    if (!known)
        return NULL;
    return known->owner;
}

static void forget_adopted(pid_t pid)
{
    struct adopted *known = adopted_find(pid);

    if (known)
        *known = adopted[--n_adopted];
}

/* Reaps all that has died. Returns a command being ended that lost a process, NULL if none did. */
static struct cmd *reap_batch(void)
{
    struct cmd *owner = NULL;
    struct rusage usage;
    int status;
    pid_t pid;

    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        struct cmd *cmd = cmd_by_pid(pid), *lost = owner_of_dead(pid, cmd);

        owner = owner ? owner : lost;
        forget_adopted(pid);
        if (cmd)
            cmd_reaped(cmd, status, &usage);
    }
    return owner;
}

void tree_reap(void)
{
    bool tracking = any_ending();
    struct cmd *owner = reap_batch();
    siginfo_t more = { 0 };

    if (!tracking)
        return;
    /*
     * What died between the batch and the scan has left orphans that the scan saw: repeat until nothing new is dead,
     * and where a command being ended is among the dead, all that is new counts as its.
     */
    for (;;) {
        struct cmd *lost;

        if (!procs_scan())
            return;
        more.si_pid = 0;
        if (waitid(P_ALL, 0, &more, WEXITED | WNOHANG | WNOWAIT) < 0 || !more.si_pid)
            break;
        lost = reap_batch();
        owner = owner ? owner : lost;
    }
    adopt_new(owner);
}
