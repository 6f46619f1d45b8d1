#include "address.h"

#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_PLAIN "2375"
#define PORT_TLS   "2376"

/* host[:port], an IPv6 address in brackets; and nothing that could end a URL's authority early. */
static bool authority_valid(const char *text, bool *ret_has_port)
{
    const char *at = text;

    if (*at == '[') {
        at += 1 + strspn(at + 1, "0123456789abcdefABCDEF:.");
        if (*at++ != ']')
            return false;
    } else {
        at += strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    }
    if (at == text)
        return false;
    *ret_has_port = *at == ':';
    if (*at == ':') {
        size_t digits = strspn(at + 1, "0123456789");

        if (digits < 1 || digits > 5 || atoi(at + 1) < 1 || atoi(at + 1) > 65535)
            return false;
        at += 1 + digits;
    }
    return *at == '\0' || !strcmp(at, "/");
}

static bool tcp_fill(struct address *address, const char *authority, bool has_port)
{
    size_t len = strcspn(authority, "/");

    return asprintf(&address->base_url, "%s://%.*s%s%s", address->tls ? "https" : "http", (int)len, authority,
                    has_port ? "" : ":",
                    has_port       ? ""
                    : address->tls ? PORT_TLS
                                   : PORT_PLAIN) >= 0;
}

const char *address_parse(const char *host, enum tls_mode tls, const char *cert_dir, struct address *ret)
{
    static const char no_memory[] = "more memory";
    struct address address = { .text = strdup(host), .tls = tls };
    const char *colon = strstr(host, "://"), *rest = colon ? colon + 3 : "", *expected = NULL;
    size_t scheme = colon ? (size_t)(colon - host) : 0;
    bool has_port = false, ok = address.text != NULL;

    if (scheme == 4 && !strncmp(host, "unix", 4) && rest[0] == '/' && strlen(rest) < 108) { /* sun_path, unix(7) */
        address.tls = TLS_OFF;
        address.socket_path = strdup(rest);
        address.base_url = strdup("http://localhost");
        ok = ok && address.socket_path && address.base_url;
    } else if (((scheme == 3 && !strncmp(host, "tcp", 3)) || (scheme == 4 && !strncmp(host, "http", 4)) ||
                (scheme == 5 && !strncmp(host, "https", 5))) &&
               authority_valid(rest, &has_port)) {
        if (scheme == 5 && !tls)
            address.tls = TLS_VERIFY;
        if (cert_dir && *cert_dir)
            ok = (address.cert_dir = strdup(cert_dir)) != NULL && ok;
        ok = ok && tcp_fill(&address, rest, has_port);
    } else {
        expected = "unix:///path of at most 107 bytes, tcp://host:port, http://host:port or https://host:port";
    }
    if (!expected && !ok)
        expected = no_memory;
    if (expected)
        address_release(&address);
    else
        *ret = address;
    return expected;
}

void address_release(struct address *address)
{
    free(address->text);
    free(address->socket_path);
    free(address->base_url);
    free(address->cert_dir);
    *address = (struct address){ 0 };
}
