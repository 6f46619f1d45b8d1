#include "bwrap.h"

#include "util.h"

#include <sys/stat.h>

/*
 * Docker's lists (moby, oci/defaults.go). Code inside is an ordinary user outside in any case, so this is the second
 * lock on most of them.
 */
static const char *const hidden[] = {
    "/proc/acpi",      "/proc/asound",     "/proc/interrupts",    "/proc/kcore",
    "/proc/key-users", "/proc/keys",       "/proc/latency_stats", "/proc/sched_debug",
    "/proc/scsi",      "/proc/timer_list", "/proc/timer_stats",
};
static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };

/* Where keys lie beside certificates: a user may be in a group that can read them. */
static const char *const keys[] = { "/etc/pki/CA/private", "/etc/pki/tls/private", "/etc/ssl/private" };

static void hide(struct argv *argv, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode))
        argv_add(argv, "--perms", "0555", "--tmpfs", path, "--remount-ro", path, NULL);
    else
        argv_add(argv, "--ro-bind", "/dev/null", path, NULL);
}

void mask_keys_add(struct argv *argv)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        hide(argv, keys[i]);
}

void mask_add(struct argv *argv)
{
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
        hide(argv, hidden[i]);
    for (size_t i = 0; i < ARRAY_LEN(read_only); i++)
        if (stat(read_only[i], &st) == 0)
            argv_add(argv, "--ro-bind", read_only[i], read_only[i], NULL);
}
