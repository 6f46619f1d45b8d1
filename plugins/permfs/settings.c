#include "settings.h"

#include "permfs_proto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULES_MAX     100000
#define RULE_WIRE_MIN 17 /* an empty pattern and three numbers */
#define CACHE_MS_MAX  86400000u

static int fail(char why[WHY_MAX], int r, const char *text)
{
    snprintf(why, WHY_MAX, "%s", text);
    return r;
}

static int read_rules(struct wire_in *w, struct rule_source *v, uint32_t n, char why[WHY_MAX])
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t type, permission;

        v[i].pattern = wire_get_str(w);
        type = wire_get_u32(w);
        permission = wire_get_u32(w);
        v[i].priority = (int32_t)wire_get_u32(w);
        if (w->failed)
            return fail(why, -EPROTO, "malformed rules");
        if (type > RULE_FILE || permission > PERM_WRITE) {
            snprintf(why, WHY_MAX, "rule %u: type %u, permission %u: no such value", i, type, permission);
            return -EINVAL;
        }
        v[i].type = (enum rule_type)type;
        v[i].permission = (enum perm)permission;
    }
    return 0;
}

int settings_decode_rules(struct wire_in *w, struct rules **ret, char why[WHY_MAX])
{
    uint32_t n = wire_get_u32(w);
    struct rule_source *v;
    const char *text = NULL;
    size_t bad = 0;
    int r;

    if (w->failed || n > RULES_MAX || n > (w->len - w->at) / RULE_WIRE_MIN)
        return fail(why, -EPROTO, "malformed rules");
    v = calloc((size_t)n + 1, sizeof *v);
    if (!v)
        return fail(why, -ENOMEM, "out of memory");
    r = read_rules(w, v, n, why);
    if (!r) {
        r = rules_compile(v, n, ret, &bad, &text);
        if (r == -EINVAL)
            snprintf(why, WHY_MAX, "rule %zu: %s", bad, text ? text : "malformed pattern");
        else if (r)
            fail(why, r, "out of memory");
    }
    free(v);
    return r;
}

/* The fds after the two that there always are. */
static int take_fds(struct msg *msg, uint32_t flags, struct settings *c)
{
    const struct {
        uint32_t flag;
        int *fd;
    } wanted[] = { { PERMFS_DELTA, &c->delta_fd },
                   { PERMFS_AUDIT, &c->audit_fd },
                   { PERMFS_AUDIT_LOG, &c->audit_sock },
                   { PERMFS_LOCK, &c->lock_fd } };
    size_t at = 2;

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (flags & wanted[i].flag)
            *wanted[i].fd = msg_take_fd(msg, at++);
    return at == msg->n_fds ? 0 : -EPROTO;
}

static int decode_body(struct msg *msg, struct wire_in *w, struct settings *c, char why[WHY_MAX])
{
    uint32_t flags;
    int r;

    c->sandbox = strdup(wire_get_str(w));
    c->mount_point = strdup(wire_get_str(w));
    flags = wire_get_u32(w);
    c->cache_ms = wire_get_u32(w);
    c->owner_uid = wire_get_u32(w);
    c->owner_gid = wire_get_u32(w);
    c->shown_uid = wire_get_u32(w);
    c->shown_gid = wire_get_u32(w);
    c->lease = flags & PERMFS_LEASE;
    c->watch = !(flags & PERMFS_NO_WATCH);
    c->passthrough = !(flags & PERMFS_NO_PASSTHROUGH);
    c->epochs = !(flags & PERMFS_NO_EPOCH);
    c->audit_max = flags & PERMFS_AUDIT_CAPPED ? PERMFS_AUDIT_MAX : 0;
    if (!c->sandbox || !c->mount_point)
        return fail(why, -ENOMEM, "out of memory");
    r = take_fds(msg, flags, c);
    if (r)
        return fail(why, r, "malformed configuration: its fds are not what its flags say");
    if (w->failed || (flags & ~PERMFS_FLAGS) || c->cache_ms > CACHE_MS_MAX || c->mount_point[0] != '/')
        return fail(why, -EPROTO, "malformed configuration");
    r = settings_decode_rules(w, &c->rules, why);
    if (!r && !wire_in_done(w))
        r = fail(why, -EPROTO, "malformed configuration: bytes behind its end");
    return r;
}

static int check_fds(const struct settings *c, char why[WHY_MAX])
{
    struct stat st;
    int listening = 0;
    socklen_t len = sizeof listening;

    if (fstat(c->root_fd, &st) < 0 || !S_ISDIR(st.st_mode))
        return fail(why, -ENOTDIR, "the codebase is not a directory");
    if (getsockopt(c->listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
        return fail(why, -EPROTO, "the configuration came without a listening socket");
    return 0;
}

int settings_decode(struct msg *msg, struct settings *ret, char why[WHY_MAX])
{
    struct wire_in w = wire_in_over(msg->body, msg->len);
    struct settings c = SETTINGS_NONE;
    int r;

    if (msg->type != PERMFS_CONFIG || msg->n_fds < 2)
        return fail(why, -EPROTO, "expected the configuration with two fds or more");
    c.root_fd = msg_take_fd(msg, 0);
    c.listen_fd = msg_take_fd(msg, 1);
    r = check_fds(&c, why);
    if (!r)
        r = decode_body(msg, &w, &c, why);
    if (r)
        settings_release(&c);
    else
        *ret = c;
    return r;
}

void settings_release(struct settings *settings)
{
    free(settings->sandbox);
    free(settings->mount_point);
    rules_unref(settings->rules);
    if (settings->root_fd >= 0)
        close(settings->root_fd);
    if (settings->listen_fd >= 0)
        close(settings->listen_fd);
    if (settings->delta_fd >= 0)
        close(settings->delta_fd);
    if (settings->audit_fd >= 0)
        close(settings->audit_fd);
    if (settings->audit_sock >= 0)
        close(settings->audit_sock);
    if (settings->lock_fd >= 0)
        close(settings->lock_fd);
    *settings = (struct settings)SETTINGS_NONE;
}
