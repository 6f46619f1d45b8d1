/* What sandboxes may call: for bwrap's filters (filters.c) and Podman's profile (profile.c). */
#ifndef STOCKADE_SYSCALLS_LISTS_H
#define STOCKADE_SYSCALLS_LISTS_H

#include <sched.h>
#include <stdint.h>
#include <sys/socket.h>

#define LEN(array) (sizeof(array) / sizeof *(array))

static const char *const allowed[] = {
#include "allowed.inc"
};
static const char *const refused[] = {
#include "refused.inc"
};

/* Linux, BSD's and UNAME26 personalities, and asking which it is; the rest weakens address randomisation. */
static const uint32_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

/* clone's other flags share no bit with these; new time namespaces are clone3's and unshare's alone. */
static const uint32_t namespaces[] = { CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                       CLONE_NEWIPC, CLONE_NEWPID,    CLONE_NEWNET };

/* What is left is unix, inet, inet6, netlink and packet: no others are of use inside, or load modules. */
static const uint32_t families[] = { AF_AX25,      AF_IPX,  AF_APPLETALK, AF_NETROM, AF_X25,  AF_ROSE,
                                     AF_RDS,       AF_CAN,  AF_TIPC,      AF_ALG,    AF_NFC,  AF_VSOCK,
                                     AF_BLUETOOTH, AF_KCM,  AF_QIPCRTR,   AF_SMC,    AF_XDP,  AF_LLC,
                                     AF_IB,        AF_MPLS, AF_PHONET,    AF_RXRPC,  AF_IUCV, AF_KEY };

#endif
