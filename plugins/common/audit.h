/*
 * The host's end of the audit (contract W14): the file that permfs appends to, and the lines that it sends to the
 * host's log callback, each sandbox's read by a thread of its own, which ends with the sandbox's daemon or the runtime.
 */
#ifndef STOCKADE_AUDIT_H
#define STOCKADE_AUDIT_H

#include "runtime.h"

struct audit_fds {
    int file; /* -1 = the sandbox has no audit */
    int sock; /* permfs's end; -1 = nobody listens */
};

/*
 * What permfs is to be given, and the thread that reads. The fds are the caller's, who closes them once they are sent.
 * RT_E_INVAL for a file inside of the codebase, RT_E_IO and so on for one that cannot be opened.
 */
int32_t audit_open(struct op *op, const struct record *record, int box_fd, struct audit_fds *ret);
/* Ends the runtime's threads: at close, when no op is under way. */
void audit_close(struct runtime *rt);

#endif
