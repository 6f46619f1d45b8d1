/* Sessions in the tests: one test for each shell that the sandbox has. */
#ifndef STOCKADE_CONFORMANCE_SESSIONS_H
#define STOCKADE_CONFORMANCE_SESSIONS_H

#include "fixture.h"

extern const char *fx_shell; /* of the session under test */

/* A session of "box"; the test ends if that fails. shell may be NULL. */
void session_up(const char *id, const char *shell);
void session_up_tty(const char *id, const char *shell, uint16_t rows, uint16_t cols);

/* Runs body once in a fresh session of every shell: bash, dash, sh and busybox's, as far as the sandbox has them. */
void sessions_each(void (*body)(const char *session));

/* `SESSION_TEST(S1_name) { ... }`: s is the session's id; the sandbox is "box", its workspace writable. */
#define SESSION_TEST(name)                                                                                             \
    static void session_body_##name(const char *s);                                                                    \
    CONFORMANCE_TEST(sessions, name)                                                                                   \
    {                                                                                                                  \
        NEED(RT_CAP_SESSION);                                                                                          \
        sessions_each(session_body_##name);                                                                            \
    }                                                                                                                  \
    static void session_body_##name(const char *s)

#endif
