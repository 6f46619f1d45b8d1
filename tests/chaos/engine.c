/* Faults of an Engine: by the docker command, as anybody else on the machine would do it. */
#include "chaos.h"

#include "engine_daemon.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Runs a shell command to its end and takes its output. */
static bool shell(const char *command, char *ret, size_t size)
{
    FILE *out = popen(command, "re");
    size_t len = 0, n;
    char rest[512];

    if (!out)
        return false;
    while (len < size - 1 && (n = fread(ret + len, 1, size - 1 - len, out)) > 0)
        len += n;
    ret[len] = '\0';
    while (fread(rest, 1, sizeof rest, out) > 0)
        ;
    return pclose(out) == 0;
}

bool engine_containers(char *names, size_t size)
{
    char command[400];

    snprintf(command, sizeof command, "docker -H '%s' ps -a --filter name=%s --format '{{.Names}}' 2>&1",
             world.docker_host, world.prefix);
    return shell(command, names, size);
}

/*
 * The Engine keeps a container to itself while it starts it, which takes for ever where an earlier fault has stopped
 * the filesystem daemon below: that goes on only after this fault, so that this one must not wait for the Engine.
 */
#define FAULT_LIMIT_S 20

static void container_fault(struct dice *dice, const char *verb)
{
    char names[8192], command[600], output[600];
    unsigned n = 0, pick;
    char *at = names;

    if (!engine_containers(names, sizeof names))
        return;
    for (const char *look = names; (look = strchr(look, '\n')); look++)
        n++;
    if (!n)
        return;
    for (pick = dice_roll(dice, n); pick; pick--)
        at = strchr(at, '\n') + 1;
    at[strcspn(at, "\n")] = '\0';
    note("fault: docker %s %s", verb, at);
    snprintf(command, sizeof command, "timeout %d docker -H '%s' %s %.200s 2>&1", FAULT_LIMIT_S, world.docker_host,
             verb, at);
    (void)shell(command, output, sizeof output); /* it may have gone by itself */
}

static void daemon_kill(struct dice *dice)
{
    char output[2000];
    pid_t pid = engine_daemon_pid(world.engine_dir);

    note("fault: the Engine %d is killed", (int)pid);
    if (pid)
        kill(pid, SIGKILL);
    usleep(1000 * dice_roll(dice, 1000));
    if (engine_daemon_again(world.engine_dir, "", output, sizeof output))
        note("the Engine is back");
    else
        (void)complain("the Engine does not come back: %s", output); /* and the round fails without it */
}

static void daemon_hang(struct dice *dice)
{
    pid_t pid = engine_daemon_pid(world.engine_dir);

    if (!pid)
        return;
    note("fault: the Engine %d stands still", (int)pid);
    kill(pid, SIGSTOP);
    usleep(1000 * dice_roll(dice, 1000));
    kill(pid, SIGCONT);
}

void engine_fault(struct dice *dice)
{
    unsigned kind = dice_roll(dice, 8);

    if (kind < 3)
        container_fault(dice, "kill");
    else if (kind < 6)
        container_fault(dice, "rm -f");
    else if (world.engine_dir && kind == 6)
        daemon_kill(dice);
    else if (world.engine_dir)
        daemon_hang(dice);
}
