#include "delta_journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define JOURNAL     "journal"
#define JOURNAL_MAX ((size_t)1 << 30)

/* The token and each path, every one ended by a NUL. */
static char *text_make(const struct delta_journal *journal, const char *const *paths, size_t n, size_t *ret_len)
{
    size_t len = sizeof journal->token;
    char *text, *at;

    for (size_t i = 0; i < n; i++)
        len += strlen(paths[i]) + 1;
    text = malloc(len);
    if (!text)
        return NULL;
    at = mempcpy(text, journal->token, sizeof journal->token);
    for (size_t i = 0; i < n; i++)
        at = mempcpy(at, paths[i], strlen(paths[i]) + 1);
    *ret_len = len;
    return text;
}

int delta_journal_begin(struct delta *delta, const char *const *paths, size_t n, struct delta_journal *ret)
{
    cleanup_free char *text = NULL;
    size_t len = 0;
    int r;

    random_name(ret->token, DELTA_TOKEN_LEN);
    text = text_make(ret, paths, n, &len);
    r = text ? file_replace(delta->dir_fd, JOURNAL, text, len) : -ENOMEM;
    if (!r && fsync(delta->dir_fd) < 0)
        r = -errno;
    return r;
}

void delta_journal_temp(const struct delta_journal *journal, size_t i, char ret[DELTA_TEMP_MAX])
{
    snprintf(ret, DELTA_TEMP_MAX, ".stockade-%s-%zu", journal->token, i);
}

void delta_journal_end(struct delta *delta)
{
    (void)unlinkat(delta->dir_fd, JOURNAL, 0);
}

/* What is there under our name is a copy, or what it took the place of. */
static void temp_remove(struct delta *delta, const struct delta_journal *journal, size_t i, const char *path)
{
    char temp[DELTA_TEMP_MAX];
    const char *name;
    cleanup_fd int dir = delta_open_parent(delta->lower_fd, path, &name);

    delta_journal_temp(journal, i, temp);
    if (dir >= 0 && unlinkat(dir, temp, 0) < 0 && errno == EISDIR)
        (void)unlinkat(dir, temp, AT_REMOVEDIR);
}

/* The directory at a path in a layer, if there is one. */
static bool dir_stat(int root_fd, const char *path, struct stat *ret)
{
    const char *name;
    cleanup_fd int dir = delta_open_parent(root_fd, path, &name);

    return dir >= 0 && *name && delta_stat(dir, name, ret) == 0 && S_ISDIR(ret->st_mode);
}

/*
 * A directory that the commit has made may lack its mode and attributes, which come last. Noted as it is, it is no
 * conflict, and the next commit gives it these.
 */
static int dir_note(struct delta *delta, const char *path)
{
    struct delta_record record = { .kind = DELTA_TOUCHED, .path = path };
    struct stat upper, lower;

    if (delta->upper_fd < 0 || !dir_stat(delta->upper_fd, path, &upper) || !dir_stat(delta->lower_fd, path, &lower))
        return 0;
    record.lower = delta_stamp_of(&lower);
    return delta_note_add(delta, &record);
}

int delta_journal_undo(struct delta *delta)
{
    cleanup_free char *text = NULL;
    struct delta_journal journal;
    size_t len, i = 0;
    int r = delta->dir_fd < 0 ? -ENOENT : file_read(delta->dir_fd, JOURNAL, JOURNAL_MAX, &text, &len), err;

    if (r)
        return r == -ENOENT ? 0 : r;
    if (len >= sizeof journal.token && text[DELTA_TOKEN_LEN] == '\0') {
        memcpy(journal.token, text, sizeof journal.token);
        for (size_t at = sizeof journal.token; at < len; at += strlen(text + at) + 1) {
            temp_remove(delta, &journal, i++, text + at);
            err = dir_note(delta, text + at);
            r = r ? r : err;
        }
    }
    if (!r)
        delta_journal_end(delta);
    return r;
}
