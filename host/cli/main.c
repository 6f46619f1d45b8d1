/* The `stockade` command. */
#include "cli.h"
#include "subcommand.h"

#include <argp.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *argp_program_version = "stockade " STOCKADE_VERSION;

static const struct subcommand subcommands[] = {
    { "run", "Run a command in a sandbox that ends with it", cmd_run },
    { "shell", "Give a shell in a sandbox", cmd_shell },
    { "create", "Make a sandbox that stays", cmd_create },
    { "start", "Start sandboxes", cmd_start },
    { "exec", "Run a command in a running sandbox", cmd_exec },
    { "session", "Keep a shell in a sandbox and run commands in it", cmd_session },
    { "pause", "Hold sandboxes still", cmd_pause },
    { "resume", "Let paused sandboxes go on", cmd_resume },
    { "stop", "Stop sandboxes, keeping them", cmd_stop },
    { "destroy", "End and remove sandboxes", cmd_destroy },
    { "prune", "Remove sandboxes that have ended", cmd_prune },
    { "ls", "List sandboxes", cmd_ls },
    { "inspect", "Show all about sandboxes, as JSON", cmd_inspect },
    { "stats", "Show what sandboxes use", cmd_stats },
    { "rules", "Show or change what a sandbox may do with its workspace", cmd_rules },
    { "changes", "List what a copy-on-write sandbox has changed", cmd_changes },
    { "commit", "Apply a sandbox's changes to its directory", cmd_commit },
    { "discard", "Forget a sandbox's changes", cmd_discard },
    { "runtimes", "List the runtime plugins that are found", cmd_runtimes },
    { "doctor", "Say whether each runtime works here, and if not, what to do", cmd_doctor },
    { "compare", "Measure runtimes side by side, or compare what they do", cmd_compare },
    { "conformance", "Run the contract against a plugin", cmd_conformance },
    { "config", "Show or check the config", cmd_config },
    { 0 },
};

static void usage_print(FILE *stream)
{
    fprintf(stream, "Usage: stockade SUBCOMMAND [OPTION...]\n"
                    "Runs untrusted commands against a real directory, in an isolation of your choice.\n\n");
    subcommands_print(stream, subcommands);
    fprintf(stream, "\nstockade SUBCOMMAND --help tells more; stockade --version gives the version.\n");
}

/* What is opened later must not end up where a closed stdin, stdout or stderr was. */
static void streams_fill(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";

    streams_fill();
    if (!strcmp(name, "-h") || !strcmp(name, "--help") || !strcmp(name, "help")) {
        usage_print(argc > 1 ? stdout : stderr);
        return argc > 1 ? report_finish(EXIT_OK) : EXIT_OURS;
    }
    if (!strcmp(name, "-V") || !strcmp(name, "--version")) {
        puts(argp_program_version);
        return report_finish(EXIT_OK);
    }
    return subcommand_run("stockade", subcommands, argc - 1, argv + 1);
}
