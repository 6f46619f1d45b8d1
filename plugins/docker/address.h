/* Where an Engine is and how it is spoken to there. Pure. */
#ifndef STOCKADE_DOCKER_ADDRESS_H
#define STOCKADE_DOCKER_ADDRESS_H

#include <stdbool.h>

#define ADDRESS_DEFAULT "unix:///var/run/docker.sock"

enum tls_mode { TLS_OFF, TLS_INSECURE, TLS_VERIFY };

struct address {
    char *text;        /* as given, for messages */
    char *socket_path; /* of a unix socket; NULL = tcp */
    char *base_url;    /* what requests' paths are put behind: "http://localhost", "https://host:2376" */
    enum tls_mode tls;
    char *cert_dir; /* with ca.pem, cert.pem and key.pem; NULL = none */
};

/*
 * Reads "unix:///path", "tcp://host[:port]", "http://..." or "https://...". The strings are copied; cert_dir may be
 * NULL. Returns NULL, or what was expected of host; also when memory runs out.
 */
const char *address_parse(const char *host, enum tls_mode tls, const char *cert_dir, struct address *ret);
void address_release(struct address *address);

#endif
