/*
 * The docker backend: one container per sandbox, its PID 1 the agent.
 *
 * plugin.c      what the plugin says of itself, its settings      image.c   references and pulling
 * body.c        from a specification to a container (pure)        lines.c   answers that are one JSON object a line
 * container.c   booting, ending and finding containers            probe.c   whether it can work here
 * obituary.c    why one died                                      pause.c   holding one still
 * seccomp.c     which system calls it may make
 * engine*.c, address.c, hijack.c, stream.c   the Engine's API: see engine.h
 * relay.c, lease.c   commands by the Engine's exec: see relay.h
 */
#ifndef STOCKADE_DOCKER_H
#define STOCKADE_DOCKER_H

#include "backend.h"
#include "engine.h"
#include "record.h"
#include "runtime.h"

#include <stdatomic.h>

#define LABEL_STATE    "stockade.state"    /* the state directory's own id */
#define LABEL_SANDBOX  "stockade.sandbox"  /* the sandbox's id */
#define LABEL_CODEBASE "stockade.codebase" /* the host's name for the codebase */

#define STATE_ID_LEN 16

struct docker_settings {
    struct settings common;    /* first */
    const char *docker_host;   /* "" = DOCKER_HOST, or the usual socket */
    const char *tls;           /* "auto", "off", "insecure", "verify" */
    const char *tls_cert_path; /* "" = DOCKER_CERT_PATH */
    const char *default_image;
    const char *network_mode;
    bool enable_networking; /* of sandboxes that ask for no network: the bridge */
    const char *exec_transport;
    const char *pull;        /* "missing", "never" */
    const char *oci_runtime; /* "" = the Engine's default */
    bool read_only_root;
    bool no_new_privileges;
    const cJSON *cap_add;        /* NULL = none */
    const char *seccomp_profile; /* "" = the Engine's default, "unconfined", or a file */
    int64_t pids_limit;          /* of sandboxes that ask for none; 0 = none */
};

/* rt->own */
struct docker {
    struct engine *engine;
    struct relays *relays; /* relay.h */
    char state_id[STATE_ID_LEN + 1];
    atomic_bool hide_cgroups;        /* the Engine leaves a container's own writable */
    atomic_bool left;                /* a container may be there that is no sandbox's any more */
    _Atomic int64_t silent_until_ns; /* until then the Engine is not waited for as long as usual; 0 = it answers */
};

static inline struct docker *docker_of(const struct op *op)
{
    return op->rt->own;
}

static inline const struct docker_settings *docker_settings_of(const struct op *op)
{
    return (const struct docker_settings *)op->rt->settings;
}

/* body.c */

/* What a container's creation depends on beside settings and specification. */
struct container_terms {
    const char *state_id;
    const char *seccomp; /* the profile's text, for Podman its path; or NULL */
    bool is_podman;
    bool relayed;      /* exec_transport "engine" */
    bool hide_cgroups; /* /sys/fs/cgroup is an empty directory */
};

/* The body of a container's creation. NULL if memory runs out. */
cJSON *container_body(const struct docker_settings *settings, const struct boot *boot,
                      const struct container_terms *terms);
/* The OCI runtime that it is to have; "" = the Engine's default. */
const char *container_runtime(const struct docker_settings *settings, const struct spec *spec);
/* The container's name, of the state directory's id and the sandbox's; to be freed. */
char *container_name(const char *state_id, const char *id);

/* seccomp.c */

/* What SecurityOpt is to say behind "seccomp=", to be freed: an Engine's profile as text, Podman's as a path; NULL =
 * its own. */
int32_t seccomp_choose(struct op *op, bool is_podman, char **ret);

/* image.c */
bool image_valid(const char *reference);
/* The reference's tag or digest; "latest" if it has none. ret_name_len is how much of it comes before. Pure. */
const char *image_tag(const char *reference, size_t *ret_name_len);
/* Pulls it, telling the log how it goes. */
int32_t image_pull(struct op *op, const char *reference);

/* lines.c */

/* Takes an answer apart that is one JSON object a line. take gets each; false ends it. */
struct json_lines {
    bool (*take)(void *arg, const cJSON *line);
    void *arg;
    char *pending;
    size_t len, cap;
};
#define JSON_LINE_MAX ((size_t)1 << 20)
bool json_lines_feed(void *lines, const char *data, size_t len); /* an engine_sink */
bool json_lines_end(struct json_lines *lines);                   /* what is left without a newline; frees */

/* container.c */

/* A call on one container: its name or id, and what is behind that in the path. ret is to be released in any case. */
int32_t container_call(struct op *op, const char *method, const char *name, const char *suffix, int64_t limit_ms,
                       struct engine_answer *ret);
/*
 * One whose answer is not needed in the end. Many may be made one after the other, for as many sandboxes: of an Engine
 * that stands still only the first waits for long.
 */
int32_t container_patient_call(struct op *op, const char *method, const char *name, const char *suffix,
                               int64_t limit_ms, int64_t settle_ms, struct engine_answer *ret);
/* See backend.h. */
int32_t docker_boot(struct op *op, struct boot *boot);
int32_t docker_end(struct op *op, const struct record *record);
void docker_sweep(struct op *op);

/* obituary.c, see backend.h */
bool docker_died_why(struct op *op, const struct record *record, char *why, size_t size);

/* host_process.c */

/* Kills all that this machine runs in the container of that id, 64 digits, which the Engine may know nothing of. */
void host_container_kill(const char *container);

/* pause.c, see backend.h */
int32_t docker_pause(struct op *op, const struct record *record);
int32_t docker_resume(struct op *op, const struct record *record);

void docker_probe(struct op *op, struct probe_list *list);

#endif
