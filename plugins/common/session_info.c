#include "session_info.h"

#include "agent_proto.h"
#include "ops.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>

/* One session as the agent tells of it; texts point into the message. */
struct told {
    const char *id, *shell;
    uint32_t pid, state;
    uint64_t commands, created;
};

static bool told_read(struct wire_in *in, struct told *ret)
{
    ret->id = wire_get_str(in);
    ret->shell = wire_get_str(in);
    ret->pid = wire_get_u32(in);
    ret->state = wire_get_u32(in);
    ret->commands = wire_get_u64(in);
    ret->created = wire_get_u64(in);
    return !in->failed && id_valid(ret->id) && ret->pid <= INT32_MAX && ret->state <= RT_SESSION_CLOSED &&
           ret->created <= INT64_MAX;
}

static void info_fill(rt_session_info *info, const struct told *told, const char *sandbox)
{
    *info = (rt_session_info){ .size = sizeof *info,
                               .id = told->id,
                               .sandbox = sandbox,
                               .shell = told->shell,
                               .status = (int32_t)told->state,
                               .pid = (int32_t)told->pid,
                               .created_ns = (int64_t)told->created,
                               .commands = told->commands };
}

static size_t texts_size(const rt_session_info *info)
{
    return strlen(info->id) + strlen(info->sandbox) + strlen(info->shell) + 3;
}

/* Moves a snapshot's texts to *at. */
static void texts_move(rt_session_info *info, char **at)
{
    const char **texts[] = { &info->id, &info->sandbox, &info->shell };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char *start = *at;

        *at = stpcpy(start, *texts[i]) + 1;
        *texts[i] = start;
    }
}

/* The list, its pointers, its snapshots and their texts, in one block. */
static rt_session_list *list_pack(const rt_session_info *infos, size_t n)
{
    size_t size = sizeof(rt_session_list) + n * (sizeof(void *) + sizeof *infos);
    rt_session_list *list;
    const rt_session_info **pointers;
    rt_session_info *own;
    char *at;

    for (size_t i = 0; i < n; i++)
        size += texts_size(&infos[i]);
    list = malloc(size);
    if (!list)
        return NULL;
    own = (rt_session_info *)(list + 1);
    pointers = (const rt_session_info **)(own + n);
    at = (char *)(pointers + n);
    for (size_t i = 0; i < n; i++) {
        own[i] = infos[i];
        texts_move(&own[i], &at);
        pointers[i] = &own[i];
    }
    *list = (rt_session_list){ .size = sizeof *list, .n = n, .items = pointers };
    return list;
}

int32_t session_list_read(struct wire_in *in, const char *sandbox, rt_session_list **ret)
{
    uint32_t n = wire_get_u32(in);
    cleanup_free rt_session_info *infos = NULL;

    if (in->failed || n > AGENT_SESSIONS_MAX)
        return RT_E_PROTOCOL;
    infos = calloc(n ? n : 1, sizeof *infos);
    if (!infos)
        return RT_E_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct told told;

        if (!told_read(in, &told))
            return RT_E_PROTOCOL;
        info_fill(&infos[i], &told, sandbox);
    }
    if (!wire_in_done(in))
        return RT_E_PROTOCOL;
    *ret = list_pack(infos, n);
    return *ret ? RT_OK : RT_E_NOMEM;
}

rt_session_info *session_info_copy(const rt_session_info *info)
{
    rt_session_info *copy = malloc(sizeof *copy + texts_size(info));
    char *at;

    if (!copy)
        return NULL;
    at = (char *)(copy + 1);
    *copy = *info;
    texts_move(copy, &at);
    return copy;
}

void session_info_free(rt_session_info *info)
{
    free(info);
}

void session_list_free(rt_session_list *list)
{
    free(list);
}
