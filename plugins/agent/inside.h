/* Where an agent listens that no socket of the host's reaches, and what it and its bridges share: see relay_proto.h. */
#ifndef STOCKADE_AGENT_INSIDE_H
#define STOCKADE_AGENT_INSIDE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * The address of that name: an abstract one, which nothing inside can remove or replace, in the sandbox's network
 * namespace. Returns its length; 0 if the name is too long.
 */
socklen_t inside_address(const char *name, struct sockaddr_un *ret);
int inside_listen(const char *name); /* the fd or -1 */

/* Whether a peer was started from outside: such a process has no parent inside, and what runs inside always has. */
bool inside_is_bridge(pid_t pid);

int bridge_main(int argc, char **argv);
int lease_main(void);

#endif
