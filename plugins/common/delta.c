#include "delta.h"

#include "delta_journal.h"
#include "error.h"
#include "runtime.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <uthash.h>

struct delta_note {
    struct delta_record record; /* its path is the one below */
    UT_hash_handle hh;
    char path[];
};

/* ---- the log ---- */

static int note_set(void *user, const struct delta_record *record)
{
    struct delta *delta = user;
    const size_t len = strlen(record->path);
    struct delta_note *note;

    HASH_FIND_STR(delta->notes, record->path, note);
    if (!note) {
        note = malloc(sizeof *note + len + 1);
        if (!note)
            return -ENOMEM;
        memcpy(note->path, record->path, len + 1);
        HASH_ADD_KEYPTR(hh, delta->notes, note->path, len, note);
    }
    note->record = *record;
    note->record.path = note->path;
    return 0;
}

const struct delta_record *delta_note(const struct delta *delta, const char *path)
{
    struct delta_note *note;

    HASH_FIND_STR(delta->notes, path, note);
    return note && note->record.kind != DELTA_FORGOTTEN ? &note->record : NULL;
}

bool delta_has_deleted(const struct delta *delta, const char *path)
{
    const struct delta_record *note = delta_note(delta, path);

    return note && (note->kind != DELTA_COMMITTED || delta_stamp_there(&note->lower));
}

int delta_note_add(struct delta *delta, const struct delta_record *record)
{
    int r = note_set(delta, record);

    return r ? r : delta_log_append(delta->log_fd, record);
}

int delta_notes_each(struct delta *delta, int (*fn)(struct delta *delta, const char *path, void *user), void *user)
{
    int r = 0;

    for (struct delta_note *note = delta->notes, *next; note && !r; note = next) {
        next = note->hh.next; /* fn may remove it */
        if (note->record.kind != DELTA_FORGOTTEN)
            r = fn(delta, note->path, user);
    }
    return r;
}

static void notes_free(struct delta *delta)
{
    struct delta_note *note, *next;

    HASH_ITER (hh, delta->notes, note, next) {
        HASH_DEL(delta->notes, note);
        free(note);
    }
}

/* ---- opening ---- */

static int rules_make(const struct spec *spec, struct rules **ret)
{
    struct rule_source *v = calloc(spec->n_rules + 1, sizeof *v);
    const char *why;
    size_t bad;
    int r;

    if (!v)
        return -ENOMEM;
    for (size_t i = 0; i < spec->n_rules; i++)
        v[i] = (struct rule_source){ .pattern = spec->rules[i].pattern,
                                     .type = (enum rule_type)spec->rules[i].type,
                                     .permission = (enum perm)spec->rules[i].permission,
                                     .priority = spec->rules[i].priority };
    r = rules_compile(v, spec->n_rules, ret, &bad, &why);
    free(v);
    return r;
}

static int layers_open(struct delta *delta, int box_fd)
{
    delta->dir_fd = delta_open_at(box_fd, DELTA_DIR, DELTA_OPEN_DIR);
    if (delta->dir_fd < 0)
        return delta->dir_fd == -ENOENT ? 0 : delta->dir_fd;
    delta->upper_fd = delta_open_at(delta->dir_fd, DELTA_UPPER, DELTA_OPEN_DIR);
    if (delta->upper_fd < 0)
        return delta->upper_fd == -ENOENT ? 0 : delta->upper_fd;
    delta->log_fd = delta_log_open(delta->dir_fd);
    return delta->log_fd < 0 ? delta->log_fd : delta_log_read(delta->log_fd, note_set, delta);
}

int32_t delta_open(struct op *op, const struct record *record, int box_fd, struct delta *ret)
{
    int r;

    *ret = (struct delta){ .op = op, .record = record, .dir_fd = -1, .upper_fd = -1, .lower_fd = -1, .log_fd = -1 };
    ret->is_running = record->status == RT_SANDBOX_RUNNING || record->status == RT_SANDBOX_PAUSED;
    if (record->spec.workspace_mode != RT_WORKSPACE_DELTA)
        return op_fail(op, RT_E_UNSUPPORTED, 0, "the workspace of '%s' is not copy-on-write", record->spec.id);
    ret->lower_fd = open(record->spec.codebase, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ret->lower_fd < 0)
        return op_fail(op, error_status(errno), errno, "open the codebase '%s' of '%s'", record->spec.codebase,
                       record->spec.id);
    r = rules_make(&record->spec, &ret->rules);
    if (!r)
        r = layers_open(ret, box_fd);
    if (!r)
        r = delta_journal_undo(ret);
    if (r == -ENOSPC || r == -EDQUOT) {
        ret->unlogged = r;
        r = 0; /* what is listed is true all the same, and discarding makes room */
    }
    return r ? op_fail(op, error_status(-r), -r, "open the delta of '%s'", record->spec.id) : RT_OK;
}

void delta_close(struct delta *delta)
{
    fd_closep(&delta->dir_fd);
    fd_closep(&delta->upper_fd);
    fd_closep(&delta->lower_fd);
    fd_closep(&delta->log_fd);
    rules_unref(delta->rules);
    notes_free(delta);
}

/* ---- names ---- */

static int name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int name_append(struct delta_names *names, const char *name)
{
    char **bigger = names->n & (names->n + 1) ? names->v : realloc(names->v, 2 * (names->n + 1) * sizeof *bigger);

    if (!bigger)
        return -ENOMEM;
    names->v = bigger;
    names->v[names->n] = strdup(name);
    return names->v[names->n] ? (names->n++, 0) : -ENOMEM;
}

int delta_names_read(int dir_fd, struct delta_names *ret)
{
    int fd = dir_fd < 0 ? -1 : openat(dir_fd, ".", DELTA_OPEN_DIR | O_CLOEXEC), r = 0;
    struct dirent *entry;
    DIR *dir;

    *ret = (struct delta_names){ 0 };
    if (dir_fd < 0)
        return 0;
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        r = -errno;
        fd_closep(&fd);
        return r;
    }
    for (errno = 0; !r && (entry = readdir(dir)); errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = name_append(ret, entry->d_name);
    if (!r)
        r = -errno;
    closedir(dir);
    if (r)
        delta_names_free(ret);
    else if (ret->n)
        qsort(ret->v, ret->n, sizeof *ret->v, name_order);
    return r;
}

void delta_names_free(struct delta_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->v[i]);
    free(names->v);
    *names = (struct delta_names){ 0 };
}

int delta_open_at(int dir_fd, const char *name, int flags)
{
    struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    long fd;

    if (!(flags & O_PATH))
        how.flags |= O_NONBLOCK | O_NOCTTY; /* a fifo must not hang the host */
    do
        fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd < 0 ? -errno : (int)fd;
}

int delta_open_parent(int root_fd, const char *path, const char **ret_name)
{
    int dir = delta_open_at(root_fd, ".", DELTA_OPEN_DIR), next;
    const char *slash;
    char *name;

    for (; dir >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        name = strndup(path, (size_t)(slash - path));
        next = name ? delta_open_at(dir, name, DELTA_OPEN_DIR) : -ENOMEM;
        free(name);
        close(dir);
        dir = next;
    }
    *ret_name = path;
    return dir;
}

int delta_stat(int dir_fd, const char *name, struct stat *ret)
{
    if (dir_fd < 0)
        return -ENOENT;
    return fstatat(dir_fd, name, ret, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 ? -errno : 0;
}

char *delta_join(const char *dir, const char *name)
{
    const size_t dir_len = strlen(dir), len = strlen(name);
    char *path = malloc(dir_len + len + 2), *at = path;

    if (!path)
        return NULL;
    if (dir_len) {
        at = mempcpy(at, dir, dir_len);
        *at++ = '/';
    }
    memcpy(at, name, len + 1);
    return path;
}

/* ---- marks ---- */

static const char *const opaque_names[] = { "trusted.overlay.opaque", "user.overlay.opaque" };

bool delta_is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

bool delta_is_opaque(int dir_fd)
{
    char value;

    for (size_t i = 0; i < ARRAY_LEN(opaque_names); i++)
        if (fgetxattr(dir_fd, opaque_names[i], &value, 1) == 1 && value == 'y')
            return true;
    return false;
}

int delta_clear_opaque(int dir_fd)
{
    int err = 0;

    for (size_t i = 0; i < ARRAY_LEN(opaque_names); i++)
        if (fremovexattr(dir_fd, opaque_names[i]) < 0 && errno != ENODATA)
            err = errno; /* also of the one that this user has no say in */
    return delta_is_opaque(dir_fd) ? -err : 0;
}

bool delta_xattr_is_data(const char *name)
{
    return strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0;
}

/* ---- paths ---- */

const char *delta_path_trim(const char *path, size_t *ret_len)
{
    size_t len;

    while (*path == '/' || (path[0] == '.' && path[1] == '/'))
        path++;
    len = strcmp(path, ".") ? strlen(path) : 0;
    while (len && path[len - 1] == '/')
        len--;
    *ret_len = len;
    return path;
}

static bool is_at_or_below(const char *top, const char *path)
{
    size_t len;

    top = delta_path_trim(top, &len);
    return !len || (strncmp(top, path, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

bool delta_is_selected(const char *const *paths, const char *path)
{
    if (!paths)
        return true;
    for (; *paths; paths++)
        if (is_at_or_below(*paths, path))
            return true;
    return false;
}

const struct rule_state *delta_rule(const struct delta *delta, const struct rule_state *dir, const char *name,
                                    bool is_dir)
{
    return dir ? rules_child(delta->rules, dir, name, strlen(name), is_dir) : NULL;
}
