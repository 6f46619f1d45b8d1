/*
 * What the kernel knows of the workspace: a node for each directory and file that it has looked up, with the (parent,
 * name) that it was found by, of a file all of them that the rules treat alike (node_links.c); and each node's rule
 * state, open files and, for directories, an O_PATH fd that is opened when needed (dirs.h).
 *
 * The table's lock guards every member below that is not constant. It is the innermost lock but for those inside
 * rules.c, and is never held across a system call on the codebase, other than closing an O_PATH fd and watching a
 * directory that is open.
 */
#ifndef STOCKADE_PERMFS_NODE_H
#define STOCKADE_PERMFS_NODE_H

#include "audit_line.h"
#include "rules.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>

/*
 * What tells one content of a file or directory from another; settled: so long after the last change that a next one
 * shows.
 */
struct stamp {
    struct timespec mtime, ctime;
    off_t size;
    uint64_t epoch; /* of the rules, by which a listing goes */
    bool settled;
};

struct node;

/*
 * An open file or directory of the sandbox, on its node's list, so that an unlinked node can still be reached.
 * Allocated by malloc; may be the beginning of a larger struct.
 */
struct handle {
    struct node *node; /* pinned by the kernel as long as the handle is open */
    int fd;
    uint32_t refs;
    enum handle_way { WAY_NONE, WAY_CACHED, WAY_PASSED } way; /* of a file's data (backing.h); constant */
    LIST_ENTRY(handle) link;
};

struct node {
    struct node *parent; /* counted; NULL for the root. Of a file with several names, that of the one used last */
    uint64_t hash;       /* of parent and name */
    char *name;          /* "" for the root; in name_room if it is short */
    size_t name_len;
    char name_room[24];
    struct node *next;    /* in its hash bucket */
    struct node *scratch; /* for walks under the lock */
    bool hashed;          /* found by (parent, name); false once it was removed or replaced */
    bool missed;          /* its own name was not there when it was last looked for */
    uint64_t lookups;     /* what the kernel holds */
    uint32_t refs;        /* children, users, and 1 while lookups > 0 */

    dev_t dev; /* identity and kind are constant; another inode under the name is another node */
    ino_t ino;
    mode_t kind; /* S_IFMT bits */
    uint64_t generation;

    const struct rule_state *state; /* valid while state_epoch is the table's */
    uint64_t state_epoch;

    int fd; /* directories: O_PATH, or -1 */
    uint32_t fd_pins;
    int64_t fd_checked_ns; /* CLOCK_MONOTONIC: when fd was last seen to be what parent and name lead to */
    TAILQ_ENTRY(node) fd_lru;

    atomic_int wd;       /* directories: inotify's descriptor (watch.h), 0 = not watched yet, -1 = cannot be */
    atomic_uint changes; /* raised by each event in the directory */
    struct node *wd_next;

    LIST_ENTRY(node) all;  /* of the table, with or without a name; not the root */
    LIST_ENTRY(node) twin; /* among those of equal inode numbers, see node_twins.c; no directories */
    struct links *links;   /* files: names beyond its own (node_links.c); NULL for most */
    LIST_HEAD(handle_list, handle) handles;
    atomic_bool written;         /* files: the audit has been told */
    atomic_bool made;            /* by the sandbox, and not seen to be missing, nor told of by an event, since */
    bool keeps_attr;             /* files: see node_keeps_attr */
    struct stamp seen;           /* of the content or listing that the kernel may have cached */
    uint32_t n_listed, n_asked;  /* directories: see node_listing_kept */
    int32_t backing;             /* files: what the kernel passes data through to (backing.h); 0 = nothing */
    uint32_t n_passed, n_cached; /* handles of either way */
    bool kept_long;              /* since before the latest ageing */
    LIST_ENTRY(node) kept;       /* on the table's list while there is a backing and no n_passed */
};

#define KEPT_MAX 4096 /* backings: files that the kernel holds open below and that no process's limit counts */

#define WATCH_BUCKETS 4096

#define SPARE_MAX 512 /* nodes that are not given back to malloc, which takes longer the more of them there are */

struct node_table {
    pthread_mutex_t lock;
    struct node **buckets;
    size_t n_buckets, n_nodes;
    LIST_HEAD(node_list, node) all;
    struct node_list *inodes; /* buckets by inode number */
    size_t n_inode_buckets, n_files;
    struct link **links; /* buckets of names that are no node's own */
    size_t n_link_buckets, n_links;
    bool numbers_tell;      /* constant: on the root's filesystem equal inode numbers are one file for sure */
    uint64_t generation;    /* of the latest node */
    _Atomic uint64_t moves; /* renames so far: what failed across one is tried again */
    struct node *spare[SPARE_MAX];
    size_t n_spare;

    struct rules *rules;
    uint64_t epoch; /* raised when states change otherwise than by a node's own move */

    TAILQ_HEAD(fd_lru, node) fd_lru; /* directories with an fd, the latest used first; not the root */
    size_t n_fds, max_fds;
    int64_t fd_trust_ns; /* for how long a directory's fd is taken for what its name leads to */

    int inotify; /* -1 = nothing is watched */
    size_t n_watches, max_watches;
    struct node *watched[WATCH_BUCKETS]; /* by descriptor */

    int kept_wake; /* eventfd, written when there is something to close again; -1 = no backing is kept */
    LIST_HEAD(kept_list, node) kept;
    size_t n_kept, n_unkept; /* together KEPT_MAX at most */
    int32_t unkept[KEPT_MAX];

    struct node root;
};

/*
 * root_fd: the codebase, borrowed. rules: a reference is taken. max_fds: of directories kept open.
 * Returns 0 or -errno.
 */
int node_table_init(struct node_table *t, int root_fd, struct rules *rules, size_t max_fds, int64_t fd_trust_ns);
void node_table_release(struct node_table *t); /* drops every node; no thread may use the table any more */

/*
 * The node of `name` in `parent` with the identity of st, made if need be, with one more kernel look-up on it.
 * st must be of the entry as it is now: a node of another identity under the name is set aside. Returns 0 or -ENOMEM.
 * A file that has a node of the same permission gets no other, where inode numbers tell, or if it is the one proven.
 * *ret_joins: the node is new under the name, and its file has others (see below).
 */
int node_look_up(struct node_table *t, struct node *parent, const char *name, const struct stat *st,
                 const struct node *proven, struct node **ret, bool *ret_joins);
/* What is to be proven: referenced, or NULL. */
struct node *node_joinable(struct node_table *t, struct node *parent, const char *name, const struct stat *st);
/* Whether the table has a node under the name, and of another identity than st. */
bool node_differs(struct node_table *t, struct node *parent, const char *name, const struct stat *st);
void node_forget(struct node_table *t, struct node *node, uint64_t lookups);
void node_put(struct node_table *t, struct node *node);
void node_put_locked(struct node_table *t, struct node *node);
void node_get(struct node_table *t, struct node *node);
struct node *node_find(struct node_table *t, struct node *dir, const char *name); /* referenced, or NULL */
uint64_t node_hash(const struct node *parent, const char *name, size_t len);
bool node_is_in(struct node_table *t, struct node *node, const struct node *dir);

/* What is under the name was not there just now, whatever node there is. */
void node_missed(struct node_table *t, struct node *parent, const char *name);
/* Whether that was the last to be heard of the name, and it has a node all the same. */
bool node_was_missed(struct node_table *t, struct node *parent, const char *name);
/* After unlink and rmdir. */
void node_removed(struct node_table *t, struct node *parent, const char *name);
/*
 * After a rename, of directories too; exchange: both names existed and were swapped. Returns whether it changed what is
 * allowed elsewhere.
 */
bool node_moved(struct node_table *t, struct node *from, const char *name, struct node *to, const char *to_name,
                bool exchange);

/*
 * ---- a file's names beyond its node's own (node_links.c); _locked: lock held ----
 *
 * Where rules change, names that were alike may differ. Until the kernel has looked them up again it does not say which
 * of them it means, so that the node allows no more than each does. Directories have one name.
 */

struct link;

int node_links_init(struct node_table *t); /* Returns 0 or -ENOMEM */
void node_links_free(struct node *node);   /* with the table, or when it has none any more */
struct link *node_link_find_locked(const struct node_table *t, const struct node *dir, const char *name, size_t len);
struct node *node_of_link(const struct link *link);
bool *node_link_missed_locked(struct link *link); /* as the `missed` of a node */
size_t node_n_links(const struct node *node);
struct link *node_first_link(const struct node *node); /* the one that was its own longest ago; NULL if there is none */
/*
 * The name allows what each of the file's does: with many names a look at all of them for each new one would be long.
 * Returns NULL if memory ran out.
 */
struct link *node_link_add_locked(struct node_table *t, struct node *file, struct node *dir, const char *name,
                                  size_t len);
/* Swaps it with the node's own name, which is not found by that meanwhile. */
void node_link_swap_locked(struct node_table *t, struct link *link);
struct node *node_link_remove_locked(struct node_table *t, struct link *link); /* returns its directory, to be put */
bool node_is_linked_in_locked(const struct node *node, const struct node *dir);
void node_links_changed_locked(struct node *node); /* its own name did */
/* own: what the node's own name allows. The least that any of its names does; it has links, or had. */
enum perm node_links_perm_locked(struct node_table *t, struct node *node, enum perm own);
bool node_links_differ_locked(struct node_table *t, struct node *node, enum perm own);
enum perm node_links_allowed_locked(const struct node *node); /* by each, when they last did not differ */
bool node_links_allow_locked(struct node_table *t, struct node *node, enum perm perm); /* some link: just that */
void node_links_keep_locked(struct node_table *t, struct node *node, enum perm perm);  /* those that allow just that */

struct node_name {
    const struct node *dir; /* not referenced */
    const char *name;
    size_t len;
};
struct node_names {
    struct node_name *v; /* one allocation with the names */
    size_t n;
};
int node_names(struct node_table *t, struct node *node, struct node_names *ret); /* all of them; 0 or -ENOMEM */

/* The node loses its own name; another takes its place, if there is one. */
void node_lose_name_locked(struct node_table *t, struct node *node);
/* Makes another of its names its own, if fewer than it has besides were tried. */
bool node_put_next_first(struct node_table *t, struct node *node, size_t tried);
bool node_names_differ(struct node_table *t, struct node *node);
bool nodes_differ(struct node_table *t);
/*
 * Takes from each node the names that do not allow what its names did. Only once the kernel uses none of them any more
 * without looking it up.
 */
void nodes_part(struct node_table *t);

/*
 * ---- the nodes of one file (node_twins.c); _locked: lock held ----
 *
 * Names of different permission are nodes of their own, and so may be one that it has lost while it was open by it; to
 * the kernel they are different files.
 */

int node_twins_init(struct node_table *t); /* Returns 0 or -ENOMEM */
void node_twins_add_locked(struct node_table *t, struct node *file);
void node_twins_remove_locked(struct node_table *t, struct node *file);
struct node *node_first_of_inode(const struct node_table *t, ino_t ino); /* the others by `twin`; not all are of it */
bool node_has_twin_locked(const struct node_table *t, const struct node *file);
/*
 * Whether the kernel may keep the attributes of a file of so many links that it is about to be told: not if the file
 * can be changed by another name than the node's. It is recorded until it has been made to forget them.
 */
bool node_keeps_attr(struct node_table *t, struct node *file, nlink_t links);
struct nodes;
int node_twins_kept(struct node_table *t, struct node *file, struct nodes *ret); /* the others; 0 or -ENOMEM */
void nodes_keep_no_attr(struct node_table *t, const struct nodes *nodes);        /* it forgot those of each */

/* ---- rules: what a node, or a name that may or may not exist, is allowed (node_rules.c); _locked: lock held ---- */

/* By its own name alone; NULL if memory ran out. */
const struct rule_state *node_state_locked(struct node_table *t, struct node *node);
enum perm node_own_perm_locked(struct node_table *t, struct node *node);
enum perm node_perm(struct node_table *t, struct node *node); /* the least, where its names differ */
enum perm node_child_perm(struct node_table *t, struct node *dir, const char *name, bool is_dir);
/*
 * The rules in force, to be given to rules_unref, and dir's state in them. Returns NULL if memory ran out.
 */
struct rules *node_rules(struct node_table *t, struct node *dir, const struct rule_state **ret_state);
enum perm node_child_perm_locked(struct node_table *t, struct node *dir, const char *name, size_t len, bool is_dir);
void node_set_rules(struct node_table *t, struct rules *rules); /* takes a reference; later calls see the new ones */

/* What the audit says of a place. */
struct told {
    char path[AUDIT_PATH_MAX]; /* filled from its end; begins at `at` */
    size_t at;
    bool is_cut;
    enum perm perm;
    size_t rule;
    const char *pattern; /* NULL if no rule decides */
    struct rules *rules; /* what pattern lies in; to be given to rules_unref */
};
/* Of a name in the directory `node`, or of the node itself if name is NULL. */
void node_tell(struct node_table *t, struct node *node, const char *name, bool is_dir, struct told *ret);

/* ---- watched directories (node_watch.c) ---- */

void node_watches_init(struct node_table *t, int inotify, size_t max);        /* inotify is the table's from then on */
void node_watch(struct node_table *t, struct node *dir, const char *fd_path); /* once for each directory */
void node_unwatch_locked(struct node_table *t, struct node *dir);             /* before it is freed; lock held */
void node_unwatched(struct node_table *t, struct node *dir);                  /* the kernel has dropped its watch */
size_t nodes_watched_by(struct node_table *t, int wd, struct node **ret, size_t max); /* referenced */
bool node_is_watched(struct node *node);                                              /* false for a file */

/* ---- backings that are kept for a file's next opening (node_kept.c); _locked: lock held ---- */

void nodes_kept_init(struct node_table *t, int wake);            /* wake: see kept_wake */
bool node_keep_locked(struct node_table *t, struct node *node);  /* false: there is no room, or none may be kept */
void node_reuse_locked(struct node_table *t, struct node *node); /* takes the kept backing into use again */
/* Gives up the backing if it is a kept one; it is then among the unkept. */
void node_unkeep_locked(struct node_table *t, struct node *node);
/* Gives up those that were kept through two calls. Returns whether there are others. */
bool nodes_kept_age(struct node_table *t);
/* Moves up to max of the unkept to ret: the caller's to close. */
size_t nodes_unkept(struct node_table *t, int32_t *ret, size_t max);

/* ---- all that have a name ---- */

struct nodes {
    struct node **v; /* referenced */
    size_t n;
};

int nodes_collect(struct node_table *t, struct nodes *ret); /* Returns 0 or -ENOMEM */
void nodes_release(struct node_table *t, struct nodes *nodes);

/* ---- open files (node_open.c) ---- */

void node_add_handle(struct node_table *t, struct node *node, struct handle *handle, int fd); /* refs becomes 1 */
struct handle *node_some_handle(struct node_table *t, struct node *node); /* referenced; NULL if none is open */
/* Returns true if it was the last reference: the caller closes and frees the handle. */
bool node_drop_handle(struct node_table *t, struct handle *handle);
/* Records what was seen at an open. Returns whether the kernel may keep what it has cached of the node. */
bool node_content_kept(struct node_table *t, struct node *node, const struct stat *st);

/*
 * A listing from the kernel's cache costs nothing, but one that is asked for tells the attributes of all in it along
 * with their names (READDIRPLUS), at a tenth of what they cost one by one. So it is worth more where the kernel has
 * asked for those of many since, or soon will: reading a file makes it ask (for the time of access).
 */
void node_asked(struct node_table *t, struct node *file);
void node_listed(struct node_table *t, struct node *dir, uint32_t n); /* entries told with their attributes */
/* node_content_kept of a directory; also false if a listing anew is worth more. Then what is counted begins anew. */
bool node_listing_kept(struct node_table *t, struct node *dir, const struct stat *st);

#endif
