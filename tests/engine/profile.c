/* A seccomp profile of the operator's choice (contract N2). */
#include "container.h"
#include "fixture.h"

#include <stdio.h>

#define PROFILE                                                                                                        \
    "{\"defaultAction\":\"SCMP_ACT_ALLOW\","                                                                           \
    "\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_ERRNO\"}]}"

static void reopen_with_profile(const char *file)
{
    char key[4200];

    snprintf(key, sizeof key, "\"%s/%s\"", fx.dir, file);
    fixture_reopen_with("seccomp_profile", key);
}

CONFORMANCE_TEST(profile, N2_a_profile_of_ones_own)
{
    HOST_MUST(tree_put(fx.dir, "profile.json", PROFILE));
    reopen_with_profile("profile.json");
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    EXPECT_RUN(run_argv("box", ARGV(PROBE, "ops", "mkdir:made", "unlink:absent")), 0,
               "mkdir:made EPERM\nunlink:absent ENOENT\n");
}

CONFORMANCE_TEST(profile, L7_a_profile_that_is_not_there)
{
    rt_sandbox_spec spec = box_spec("box");

    reopen_with_profile("absent.json");
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    cr_expect(fx.ops->start(fx.rt, "box", CALL) != RT_OK);
    EXPECT_NAMES("absent.json");
    cr_expect(containers_of("box") == 0);
}
