/*
 * exec_transport "engine": connections to a sandbox's agent by the Engine's exec alone. Each goes through an exec of
 * the agent's program as a bridge (relay_proto.h), and a thread here that passes on between the exec's stream and a
 * socket that looks like the agent's: plugins/common does not see the difference. An exec costs the Engine tens of
 * milliseconds, so that a bridge that is done with one connection waits a while for the next.
 *
 * relay.c         which bridge takes a connection, and new ones     relay_serve.c   what a bridge's thread does
 * host_process.c  ending a command when the Engine does not answer  lease.c         the end of a `host` sandbox
 */
#ifndef STOCKADE_DOCKER_RELAY_H
#define STOCKADE_DOCKER_RELAY_H

#include "docker.h"
#include "msg.h"
#include "mux.h"

#include <pthread.h>

struct relays; /* of one runtime; thread-safe */

int32_t relays_new(rt_error *err, struct relays **ret); /* RT_E_NOMEM, RT_E_RESOURCE */
/* Ends them all and waits for that. NULL is a no-op. */
void relays_free(struct relays *relays);
/* The container is gone: of the streams to it those that wait for a connection end, the others with theirs. */
void relays_end(struct relays *relays, const char *container);

/* backend.h, connect(). */
int32_t relay_connect(struct op *op, const struct whereabouts *place, int *ret);
/* Whether the agent can be reached: connects, and lets go of it. */
int32_t relay_await(struct op *op, const struct whereabouts *place);

/*
 * A process of ours that ends the sandbox's init with this process; *ret_lease ends it without. It ends by itself with
 * the init.
 */
int32_t lease_start(struct op *op, const char *agent, pid_t init_pid, pid_t *ret_pid, int *ret_lease);

/*
 * Kills the process that the sandbox of this init knows as pid, and all its descendants, by what this machine's /proc
 * shows of them. False if they are not to be seen here, or do not end.
 */
bool host_process_kill(pid_t init_pid, pid_t pid);
/* Kills the bridge that the sandbox of this init knows as pid, if it is there. */
void host_bridge_kill(pid_t init_pid, pid_t pid);

/* ---- relay.c and relay_serve.c ---- */

enum relay_state {
    RELAY_SERVING,
    RELAY_RESETTING, /* the bridge was told to make a new connection, and has not said that it did */
    RELAY_IDLE,      /* may be given a connection */
    RELAY_ENDED,
};

struct relay {
    struct relay *next; /* under relays->lock, as are the next four; conn is its thread's own to read */
    enum relay_state state;
    int given;   /* a connection to be served, handed over while idle; -1 = none */
    int conn;    /* the other end is the host's; -1 = none, or it has closed that */
    bool gone;   /* its container is: it takes no other connection */
    int wake_fd; /* eventfd: there is one given, or it is to end */

    struct relays *all;
    pthread_t thread;
    struct runtime *rt;
    char id[ID_MAX + 1], container[80];
    pid_t init_pid;
    struct hijack *stream;
    struct stream_frames frames;
    struct mux mux;
    int answers;      /* where a session's answers go instead; -1 = none */
    int64_t until_ns; /* when idle, or when what is to be done should have been done; 0 = never */
    pid_t bridge;     /* inside; 0 = not known yet, and nothing is asked of it */
    pid_t pid;        /* of the command, inside; 0 = none, or it has ended */
    int64_t kill_ns;  /* the command is to be dead by then; 0 = it is not being killed */
    bool more;        /* the stream may have more than poll(2) knows of */
    bool lost;        /* the stream has ended */
    bool over;
    char packet[MSG_PACKET_MAX];
};

void *relay_serve(void *relay);                                /* the thread */
void relay_message(void *relay, const void *data, size_t len); /* of its mux */

/* Whether this one may wait for another connection, and then it is RELAY_RESETTING; not if enough wait already. */
bool relay_keep(struct relay *relay);
void relay_set_state(struct relay *relay, enum relay_state state);
bool relay_take_given(struct relay *relay); /* if there is one, it is RELAY_SERVING */
void relay_drop_conn(struct relay *relay);
void relay_end(struct relay *relay); /* RELAY_ENDED; who gave it a connection just now sees that closed */
int relays_stop_fd(const struct relays *relays);

#endif
