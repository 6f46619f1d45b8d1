/* A line of the audit (docs/audit.md): one JSON object, without the newline. Pure. */
#ifndef STOCKADE_PERMFS_AUDIT_LINE_H
#define STOCKADE_PERMFS_AUDIT_LINE_H

#include "rules.h"

enum audit_kind { AUDIT_DENIED, AUDIT_WRITE, AUDIT_RULES, AUDIT_SUPPRESSED };

#define AUDIT_PATH_MAX    4096 /* bytes of a path that are told; of a longer one the last */
#define AUDIT_PATTERN_MAX 512  /* bytes of a pattern; of a longer one the first */
/* Of a line: each byte of a path takes six at most, "\u001f"; the rest is short. */
#define AUDIT_LINE_MAX (6 * (AUDIT_PATH_MAX + AUDIT_PATTERN_MAX) + 512)

struct audit_event {
    enum audit_kind kind;
    int64_t time_ns;  /* CLOCK_REALTIME */
    const char *op;   /* denied, write: "open" */
    uint32_t pid;     /* of who did it, as the host counts it; 0 = not known */
    const char *path; /* below the workspace, bytes; "" is the workspace itself */
    size_t path_len;
    bool is_cut;          /* path is the end of a longer one */
    enum perm permission; /* what the rules give at the path */
    size_t rule;          /* that decides there; SIZE_MAX = none */
    const char *pattern;  /* its own; NULL if none */
    uint64_t count;       /* rules: how many there are now; suppressed: lines that were left out */
};

/*
 * Writes the line, which is valid UTF-8 whatever the names are: in path and pattern a backslash becomes two, and a byte
 * that is no part of valid UTF-8 becomes `\xHH`, before JSON's own escapes. So no two names give the same text.
 * buf has AUDIT_LINE_MAX bytes. Returns the length; no NUL follows.
 */
size_t audit_line(char *buf, const char *sandbox, const struct audit_event *event);

#endif
