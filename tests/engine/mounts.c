/* Where the workspace is mounted, and what the Engine must see of it. */
#include "container.h"
#include "fixture.h"

#include <stdio.h>
#include <sys/stat.h>

CONFORMANCE_TEST(mounts, L6_in_a_directory_of_the_operators_choice)
{
    char base[4096], link[4200], key[4400], *files;
    rt_sandbox_info *info = NULL;

    snprintf(base, sizeof base, "%s/mounts", fx.dir);
    snprintf(link, sizeof link, "%s/link", fx.dir);
    HOST_MUST(mkdir(base, 0700) == 0 && symlink(base, link) == 0);
    snprintf(key, sizeof key, "\"%s/deeper\"", link);
    fixture_reopen_with("fuse_mount_base", key);
    HOST_MUST(tree_put(fx.codebase, "file", "seen"));
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "cat file"), 0, "seen");
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
    cr_expect(!strncmp(info->mount_point, base, strlen(base)), "%s", info->mount_point);
    fx.ops->sandbox_info_free(info);
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    files = tree_list(base, false);
    cr_expect(!strstr(files, "box"), "left: %s", files);
    free(files);
}

CONFORMANCE_TEST(mounts, B1_a_directory_that_others_can_write)
{
    char base[4096], config[8192], *host = docker_host();
    rt_runtime *rt = NULL;

    snprintf(base, sizeof base, "%s/open", fx.dir);
    HOST_MUST(mkdir(base, 0700) == 0 && chmod(base, 0777) == 0);
    snprintf(config, sizeof config, "{\"docker_host\":\"%s\",\"fuse_mount_base\":\"%s\"}", host, base);
    EXPECT_STATUS(RT_E_PERMISSION, plugin_open(&fx.plugin, fx.state, config, CALL, &rt));
    EXPECT_NAMES("fuse_mount_base");
    free(host);
}
