/*
 * The bwrap backend: one persistent bubblewrap per sandbox.
 *
 * plugin.c   what the plugin says of itself       argv.c     from a specification to bubblewrap's arguments (pure)
 * boot.c     starting it, and why it died          stage.c    what root prepares before it becomes an ordinary user
 * etc.c      the texts of its /etc                mask.c     what of /proc is hidden
 * seccomp.c  the filters, made by filter/         limits.c   limits, with and without cgroups
 * probe.c    whether it can work here
 */
#ifndef STOCKADE_BWRAP_H
#define STOCKADE_BWRAP_H

#include "backend.h"
#include "child.h"

struct bwrap_settings {
    struct settings common; /* first */
    const char *bwrap_path; /* "" = searched in the usual places */
    const char *rootfs;     /* "" = the host's own /usr */
    int64_t nobody_uid;     /* who root's codebases are worked on as, outside */
    bool seccomp;           /* calls are let through by a list */
    bool user_namespaces;   /* commands may make some, and nothing else with them */
    bool memory_rlimit;     /* where no cgroup limits memory: each process's address space instead */
};

/* Numbers of the fds that bubblewrap is given. */
enum {
    BWRAP_INFO_FD = 3,
    BWRAP_PASSWD_FD,
    BWRAP_GROUP_FD,
    BWRAP_HOSTS_FD,
    BWRAP_HOSTNAME_FD,
    BWRAP_NSSWITCH_FD,
    BWRAP_ARGUMENTS_FD,
    BWRAP_CALLS_FD, /* last: not there if the settings have no seccomp */
    BWRAP_FD_COUNT
};

/* An entry of the new root's top level. */
struct root_entry {
    char name[256];
    char link[256]; /* target if it is a symlink, else "" */
};

struct root_list {
    struct root_entry *entries;
    size_t n;
};

/* What of the root's top level is shown inside: of the host's (dir "/") or of a rootfs. Returns 0 or -errno. */
int root_list_read(const char *dir, bool is_host, struct root_list *ret);
void root_list_release(struct root_list *list);

/* Where bubblewrap finds what it binds; as staged, or as it lies on the host. */
struct argv_sources {
    const char *root; /* "" for the host's own, else the rootfs */
    bool is_host_root;
    const char *workspace, *agent, *boot_dir;
    bool has_calls_filter, has_userns;
};

struct argv {
    char **items; /* ended by NULL once finished */
    size_t n, cap;
    bool failed;
};

void argv_build(const struct spec *spec, const struct identity *identity, const struct root_list *root,
                const struct argv_sources *sources, struct argv *ret);
void argv_release(struct argv *argv);

/* Files of the sandbox's own /etc; the caller frees. NULL if memory runs out. */
char *passwd_text(const struct identity *identity);
char *group_text(const struct identity *identity);
char *hosts_text(const char *hostname);
char *hostname_text(const char *hostname);
char *nsswitch_text(void);

/* Masks what of /proc tells of the machine or controls it, as Docker does; as far as this kernel has it. */
void mask_add(struct argv *argv);
/* The same for private keys in the host's /etc, once that is bound. */
void mask_keys_add(struct argv *argv);
/* Adds strings to the arguments, up to a NULL. */
void argv_add(struct argv *argv, ...);

/* The filters that plugins/syscalls made, see there: which calls there are, and what may not be in their arguments. */
enum seccomp_part { SECCOMP_CALLS, SECCOMP_ARGUMENTS };
/* One of them as BPF in a memfd, for bubblewrap's --add-seccomp-fd. Returns the fd or -errno. */
int seccomp_filter_fd(enum seccomp_part part, bool has_userns);

/*
 * RT_E_UNSUPPORTED if cgroups with these controllers and what the settings allow cannot keep the limits; the message
 * names the limit. pids can always be kept: RLIMIT_NPROC counts in the sandbox's own user namespace.
 */
int32_t limits_check(const struct bwrap_settings *settings, const rt_limits *limits, uint32_t controllers,
                     rt_error *err);
/* In the child before bubblewrap: sets what cgroups do not keep and rlimits can. Returns 0 or an errno. */
CHILD_CODE int limits_enter(const rt_limits *limits, uint32_t controllers);

/*
 * As root: what runs in the child before bubblewrap. It gets a small root of its own with just what bubblewrap binds
 * from, so that it pins nothing of the host's mounts and needs no right to the paths that lead there, and becomes the
 * user that commands run as, outside: from then on there is no privilege left to lose.
 */
struct stage_item {
    char *source; /* on the host; NULL: a symlink */
    char *dest;   /* in the stage, relative */
    char *link;
    bool is_file;
};

#define STAGE_ITEMS_MAX 64
#define STAGE_ROOTFS    "/rootfs"
#define STAGE_WORKSPACE "/stage/workspace"
#define STAGE_AGENT     "/stage/agent"
#define STAGE_BOOT_DIR  "/stage/boot"

struct stage {
    struct stage_item items[STAGE_ITEMS_MAX];
    size_t n;
    const char *at; /* an existing directory on the host that may be covered */
    uint32_t uid, gid;
    bool failed;
};

void stage_plan(struct stage *stage, const struct bwrap_settings *settings, const struct root_list *host_root,
                const struct boot *boot);
CHILD_CODE int stage_enter(const struct stage *stage); /* in the child; 0 or an errno */
void stage_release(struct stage *stage);

/* The program: the configured one or the first found; returns its O_PATH fd with ret_path filled, or -errno. */
int bwrap_open(const struct bwrap_settings *settings, char *ret_path, size_t size);

int32_t bwrap_boot(struct op *op, struct boot *boot);
/*
 * See backend.h. The kernel keeps no account of whom it killed for memory, only that it did: an init that dies in a
 * sandbox where it has not was killed for something else.
 */
bool bwrap_died_why(struct op *op, const struct record *record, char *why, size_t size);
void bwrap_probe(struct op *op, struct probe_list *list);

#endif
