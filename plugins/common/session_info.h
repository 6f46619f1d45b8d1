/* Snapshots of sessions for the host, from what the agent says of them. */
#ifndef STOCKADE_SESSION_INFO_H
#define STOCKADE_SESSION_INFO_H

#include "wire.h"

#include "runtime_api.h"

/*
 * Reads an AGENT_SESSIONS body. *ret gets one block that session_list_free() frees. RT_E_PROTOCOL if the body is not
 * what an agent of ours sends; RT_E_NOMEM.
 */
int32_t session_list_read(struct wire_in *in, const char *sandbox, rt_session_list **ret);
/* The first of a list on its own, in one block that session_info_free() frees. NULL if memory runs out. */
rt_session_info *session_info_copy(const rt_session_info *info);

#endif
