/*
 * Runs when the docker plugin is built: prints the seccomp profile of containers on Podman's service, whose own lets
 * through more than an Engine's. A profile is one filter: what is let through by its arguments and what is refused by
 * them are told apart by the same bits. Podman leaves out what its libseccomp has no name for.
 */
#include "lists.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Those whose arguments count. */
static const char *const looked_into[] = { "clone", "socket" };
static const uint32_t plain_families[] = { AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET };

static bool is_looked_into(const char *name)
{
    for (size_t i = 0; i < LEN(looked_into); i++)
        if (!strcmp(name, looked_into[i]))
            return true;
    return false;
}

static void action_print(int err)
{
    if (err)
        printf("\"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": %d", err);
    else
        printf("\"action\": \"SCMP_ACT_ALLOW\"");
}

static void names_print(const char *const *names, size_t n, int err)
{
    printf("    { ");
    action_print(err);
    printf(", \"names\": [");
    for (size_t i = 0, shown = 0; i < n; i++)
        if (!is_looked_into(names[i]))
            printf("%s\"%s\"", shown++ ? ", " : "", names[i]);
    printf("] }");
}

/* Of calls whose first argument is value in the bits of mask. */
static void argument_print(const char *name, uint32_t mask, uint32_t value, int err)
{
    printf(",\n    { ");
    action_print(err);
    printf(", \"names\": [\"%s\"], \"args\": [{ \"index\": 0, \"op\": \"SCMP_CMP_MASKED_EQ\", \"value\": %u, "
           "\"valueTwo\": %u }] }",
           name, mask, value);
}

static void arguments_print(void)
{
    uint32_t any = CLONE_NEWUSER;

    for (size_t i = 0; i < LEN(namespaces); i++) {
        any |= namespaces[i];
        argument_print("clone", namespaces[i], namespaces[i], EPERM);
    }
    argument_print("clone", CLONE_NEWUSER, CLONE_NEWUSER, EPERM);
    argument_print("clone", any, 0, 0);
    for (size_t i = 0; i < LEN(personalities); i++)
        argument_print("personality", UINT32_MAX, personalities[i], 0);
    for (size_t i = 0; i < LEN(plain_families); i++)
        argument_print("socket", UINT32_MAX, plain_families[i], 0);
    for (size_t i = 0; i < LEN(families); i++)
        argument_print("socket", UINT32_MAX, families[i], EAFNOSUPPORT);
}

int main(void)
{
    static const char *const unshare[] = { "unshare" };

    printf("{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": %d,\n  \"archMap\": [\n", ENOSYS);
    printf("    { \"architecture\": \"SCMP_ARCH_X86_64\", \"subArchitectures\": [\"SCMP_ARCH_X86\", \"SCMP_ARCH_X32\"] "
           "},\n");
    printf("    { \"architecture\": \"SCMP_ARCH_AARCH64\", \"subArchitectures\": [\"SCMP_ARCH_ARM\"] }\n");
    printf("  ],\n  \"syscalls\": [\n");
    names_print(allowed, LEN(allowed), 0);
    printf(",\n");
    names_print(refused, LEN(refused), EPERM);
    printf(",\n");
    names_print(unshare, LEN(unshare), EPERM);
    arguments_print();
    printf("\n  ]\n}\n");
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
