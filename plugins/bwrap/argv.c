/* From a sandbox's specification to bubblewrap's arguments. Pure but for root_list_read() and the masks. */
#include "bwrap.h"

#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- the root's top level ---- */

/* Of the host's root only what programs are made of; everything else stays out (N4). */
static bool is_shown(const char *name, bool is_host)
{
    static const char *const host[] = { "bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr" };
    static const char *const own[] = { "dev", "proc", "run", "sys", "tmp" }; /* the sandbox has its own */

    if (is_host) {
        for (size_t i = 0; i < ARRAY_LEN(host); i++)
            if (!strcmp(name, host[i]))
                return true;
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (!strcmp(name, own[i]))
            return false;
    return strcmp(name, ".") && strcmp(name, "..");
}

static bool root_list_add(struct root_list *list, int dir_fd, const char *name)
{
    struct root_entry *bigger = realloc(list->entries, (list->n + 1) * sizeof *bigger), *entry;
    ssize_t len;

    if (!bigger)
        return false;
    list->entries = bigger;
    entry = &bigger[list->n++];
    *entry = (struct root_entry){ 0 };
    snprintf(entry->name, sizeof entry->name, "%s", name);
    len = readlinkat(dir_fd, name, entry->link, sizeof entry->link - 1);
    if (len < 0)
        entry->link[0] = '\0';
    return true;
}

int root_list_read(const char *path, bool is_host, struct root_list *ret)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int err = 0;

    *ret = (struct root_list){ 0 };
    if (!dir)
        return -errno;
    while (!err && (entry = readdir(dir)))
        if (is_shown(entry->d_name, is_host) && !root_list_add(ret, dirfd(dir), entry->d_name))
            err = -ENOMEM;
    closedir(dir);
    if (err)
        root_list_release(ret);
    return err;
}

void root_list_release(struct root_list *list)
{
    free(list->entries);
    *list = (struct root_list){ 0 };
}

/* ---- arguments ---- */

static void argv_push(struct argv *argv, char *item)
{
    if (argv->n + 1 >= argv->cap) {
        size_t cap = argv->cap ? argv->cap * 2 : 128;
        char **bigger = realloc(argv->items, cap * sizeof *bigger);

        if (!bigger) {
            free(item);
            argv->failed = true;
            return;
        }
        argv->items = bigger;
        argv->cap = cap;
    }
    if (!item) {
        argv->failed = true;
        return;
    }
    argv->items[argv->n++] = item;
    argv->items[argv->n] = NULL;
}

void argv_add(struct argv *argv, ...)
{
    const char *text;
    va_list args;

    va_start(args, argv);
    while ((text = va_arg(args, const char *)))
        argv_push(argv, strdup(text));
    va_end(args);
}

static void add_number(struct argv *argv, const char *option, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof text, "%u", value);
    argv_add(argv, option, text, NULL);
}

/* option ROOT/name /name */
static void add_from_root(struct argv *argv, const char *option, const char *root, const char *name)
{
    char *source, *dest;

    if (asprintf(&source, "%s/%s", root, name) < 0)
        source = NULL;
    if (asprintf(&dest, "/%s", name) < 0)
        dest = NULL;
    argv_push(argv, strdup(option));
    argv_push(argv, source);
    argv_push(argv, dest);
}

static void add_namespaces(struct argv *argv, const struct spec *spec, const struct identity *identity,
                           const struct argv_sources *sources)
{
    argv_add(argv, "bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
             "--as-pid-1", "--new-session", "--clearenv", "--cap-drop", "ALL", NULL);
    if (!sources->has_userns)
        argv_add(argv, "--disable-userns", NULL);
    if (!strcmp(spec->network, "none"))
        argv_add(argv, "--unshare-net", NULL);
    add_number(argv, "--uid", identity->uid);
    add_number(argv, "--gid", identity->gid);
    argv_add(argv, "--hostname", spec->id, NULL);
    add_number(argv, "--info-fd", BWRAP_INFO_FD);
    add_number(argv, "--add-seccomp-fd", BWRAP_ARGUMENTS_FD);
    if (sources->has_calls_filter)
        add_number(argv, "--add-seccomp-fd", BWRAP_CALLS_FD);
}

static void add_text(struct argv *argv, int fd, const char *dest)
{
    argv_add(argv, "--perms", "0644", NULL);
    add_number(argv, "--file", (uint32_t)fd);
    argv_add(argv, dest, NULL);
}

/* What programs need of the host's /etc, and nothing that tells of the host. */
static void add_host_etc(struct argv *argv, bool has_network)
{
    static const char *const always[] = { "etc/alternatives", "etc/ca-certificates", "etc/ca-certificates.conf",
                                          "etc/ld.so.cache",  "etc/ld.so.conf",      "etc/ld.so.conf.d",
                                          "etc/localtime",    "etc/mime.types",      "etc/pki",
                                          "etc/protocols",    "etc/services",        "etc/ssl" };
    static const char *const online[] = { "etc/hosts", "etc/resolv.conf" };

    argv_add(argv, "--perms", "0755", "--dir", "/etc", NULL); /* bubblewrap's own default is 0700 */
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        add_from_root(argv, "--ro-bind-try", "", always[i]);
    for (size_t i = 0; has_network && i < ARRAY_LEN(online); i++)
        add_from_root(argv, "--ro-bind-try", "", online[i]);
    mask_keys_add(argv);
    add_text(argv, BWRAP_PASSWD_FD, "/etc/passwd");
    add_text(argv, BWRAP_GROUP_FD, "/etc/group");
    add_text(argv, BWRAP_NSSWITCH_FD, "/etc/nsswitch.conf");
    add_text(argv, BWRAP_HOSTNAME_FD, "/etc/hostname");
    if (!has_network)
        add_text(argv, BWRAP_HOSTS_FD, "/etc/hosts");
}

static void add_root(struct argv *argv, const struct spec *spec, const struct root_list *root,
                     const struct argv_sources *sources)
{
    for (size_t i = 0; i < root->n; i++) {
        const struct root_entry *entry = &root->entries[i];
        char dest[sizeof entry->name + 1];

        snprintf(dest, sizeof dest, "/%s", entry->name);
        if (entry->link[0])
            argv_add(argv, "--symlink", entry->link, dest, NULL);
        else
            add_from_root(argv, "--ro-bind", sources->root, entry->name);
    }
    if (sources->is_host_root) {
        add_host_etc(argv, strcmp(spec->network, "none") != 0);
        argv_add(argv, "--perms", "0755", "--dir", "/var", "--symlink", "../tmp", "/var/tmp", NULL);
    }
}

void argv_build(const struct spec *spec, const struct identity *identity, const struct root_list *root,
                const struct argv_sources *sources, struct argv *ret)
{
    *ret = (struct argv){ 0 };
    add_namespaces(ret, spec, identity, sources);
    add_root(ret, spec, root, sources);
    argv_add(ret, "--proc", "/proc", NULL);
    mask_add(ret);
    argv_add(ret, "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", NULL);
    argv_add(ret, "--perms", "1777", "--tmpfs", "/dev/shm", NULL);
    argv_add(ret, "--perms", "0755", "--dir", "/run", "--perms", "0755", "--dir", "/run/stockade", NULL);
    argv_add(ret, "--ro-bind", sources->agent, INSIDE_AGENT, "--ro-bind", sources->boot_dir, INSIDE_BOOT_DIR, NULL);
    argv_add(ret, "--bind", sources->workspace, spec->workspace, NULL);
    /* The root itself is a tmpfs of bubblewrap's: nothing more is to be made there. */
    argv_add(ret, "--remount-ro", "/", "--chdir", "/", "--", INSIDE_AGENT, INSIDE_BOOT_DIR "/" BOOT_SOCKET, NULL);
}

void argv_release(struct argv *argv)
{
    for (size_t i = 0; i < argv->n; i++)
        free(argv->items[i]);
    free(argv->items);
    *argv = (struct argv){ 0 };
}
