/* The agent's list of sessions, as a lying agent might send it. */
#include "plugins/common/session_info.h"

#include "plugins/common/agent_proto.h"
#include "plugins/common/ops.h"

#include <criterion/criterion.h>

static void session_put(struct wire_out *out, const char *id, uint32_t pid, uint32_t state, uint64_t created)
{
    wire_put_str(out, id);
    wire_put_str(out, "/bin/sh");
    wire_put_u32(out, pid);
    wire_put_u32(out, state);
    wire_put_u64(out, 7);
    wire_put_u64(out, created);
}

/* Reads what out holds, up to len bytes of it; releases it. */
static int32_t list_read(struct wire_out *out, size_t len, rt_session_list **ret)
{
    struct wire_in in = wire_in_over(out->data, len);
    int32_t status = session_list_read(&in, "box", ret);

    wire_out_release(out);
    return status;
}

Test(session_info, a_list_and_one_of_it)
{
    struct wire_out out = { 0 };
    rt_session_list *list = NULL;
    rt_session_info *info;

    wire_put_u32(&out, 2);
    session_put(&out, "a", 12, AGENT_SESSION_IS_BUSY, 1000);
    session_put(&out, "b.c-d_9", 0, AGENT_SESSION_IS_CLOSED, 2000);
    cr_assert_eq(list_read(&out, out.len, &list), RT_OK);
    cr_assert_eq(list->n, 2);
    info = session_info_copy(list->items[0]);
    cr_expect_str_eq(list->items[1]->id, "b.c-d_9");
    cr_expect_eq(list->items[1]->status, RT_SESSION_CLOSED);
    session_list_free(list);
    cr_assert(info != NULL);
    cr_expect_str_eq(info->id, "a");
    cr_expect_str_eq(info->sandbox, "box");
    cr_expect_str_eq(info->shell, "/bin/sh");
    cr_expect(info->status == RT_SESSION_BUSY && info->pid == 12 && info->created_ns == 1000 && info->commands == 7);
    session_info_free(info);
}

Test(session_info, an_empty_list)
{
    struct wire_out out = { 0 };
    rt_session_list *list = NULL;

    wire_put_u32(&out, 0);
    cr_assert_eq(list_read(&out, out.len, &list), RT_OK);
    cr_expect_eq(list->n, 0);
    session_list_free(list);
}

static void expect_protocol(uint32_t count, const char *id, uint32_t pid, uint32_t state, uint64_t created)
{
    struct wire_out out = { 0 };
    rt_session_list *list = NULL;

    wire_put_u32(&out, count);
    session_put(&out, id, pid, state, created);
    cr_expect_eq(list_read(&out, out.len, &list), RT_E_PROTOCOL, "%u %s %u %u", count, id, pid, state);
    cr_expect_null(list);
}

Test(session_info, lies)
{
    expect_protocol(0, "a", 1, 0, 1);
    expect_protocol(2, "a", 1, 0, 1);
    expect_protocol(UINT32_MAX, "a", 1, 0, 1);
    expect_protocol(AGENT_SESSIONS_MAX + 1, "a", 1, 0, 1);
    expect_protocol(1, "../a", 1, 0, 1);
    expect_protocol(1, "", 1, 0, 1);
    expect_protocol(1, "a", UINT32_MAX, 0, 1);
    expect_protocol(1, "a", 1, 3, 1);
    expect_protocol(1, "a", 1, 0, UINT64_MAX);
}

Test(session_info, cut_off_anywhere)
{
    for (size_t len = 0; len < 40; len++) {
        struct wire_out out = { 0 };
        rt_session_list *list = NULL;

        wire_put_u32(&out, 1);
        session_put(&out, "a", 1, 0, 1);
        cr_assert(out.len > 40);
        cr_expect_eq(list_read(&out, len, &list), RT_E_PROTOCOL, "%zu", len);
    }
}
