/* The texts of the sandbox's own /etc. Pure. */
#include "bwrap.h"

#include <stdio.h>
#include <string.h>

char *passwd_text(const struct identity *identity)
{
    char *text;
    int n;

    if (identity->uid == 0)
        n = asprintf(&text, "root:x:0:%u::/tmp:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
                     identity->gid);
    else
        n = asprintf(&text,
                     "root:x:0:0::/root:/usr/sbin/nologin\nsandbox:x:%u:%u::/tmp:/bin/sh\n"
                     "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
                     identity->uid, identity->gid);
    return n < 0 ? NULL : text;
}

char *group_text(const struct identity *identity)
{
    char *text;
    int n;

    if (identity->gid == 0)
        n = asprintf(&text, "root:x:0:\nnogroup:x:65534:\n");
    else
        n = asprintf(&text, "root:x:0:\nsandbox:x:%u:\nnogroup:x:65534:\n", identity->gid);
    return n < 0 ? NULL : text;
}

char *hosts_text(const char *hostname)
{
    char *text;

    return asprintf(&text, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 %s\n", hostname) <
                   0
               ? NULL
               : text;
}

char *hostname_text(const char *hostname)
{
    char *text;

    return asprintf(&text, "%s\n", hostname) < 0 ? NULL : text;
}

/* Files and DNS alone: the host's may name services that answer outside only. */
char *nsswitch_text(void)
{
    return strdup("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
                  "protocols: files\nservices: files\nethers: files\nrpc: files\n");
}
