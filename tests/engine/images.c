/* Images that are not made for this: they boot all the same, and nothing of theirs runs. */
#include "command.h"
#include "container.h"
#include "fixture.h"

#include <stdio.h>

static void box_up_on(const char *id, const char *image)
{
    static const rt_rule rules[] = { { .size = sizeof(rt_rule), .pattern = "**", .permission = RT_PERM_WRITE } };
    rt_sandbox_spec spec = box_spec(id);

    spec.image = image;
    spec.rules = rules;
    spec.n_rules = 1;
    box_up_spec(&spec);
}

CONFORMANCE_TEST(images, X1_an_image_without_anything)
{
    probe_install();
    box_up_on("box", "stockade-test:empty");
    EXPECT_RUN(run_argv("box", ARGV(PROBE, "ops", "mkdir:made", "mkdir:/tmp/made")), 0,
               "mkdir:made ok\nmkdir:/tmp/made ok\n");
    EXPECT_RUN(sh("box", "true"), 127, "");
    EXPECT_RUN(run_argv("box", ARGV("sh", "-c", "true")), 127, "");
}

/* Destroys a sandbox whose image declares volumes: they go with it. */
static void destroy_with_volumes(const char *id)
{
    char *container = container_of(id), *save = NULL,
         *names = docker_text((const char *const[]){ "docker", "inspect", "--format",
                                                     "{{range .Mounts}}{{.Name}} {{end}}", container, NULL }),
         *left;

    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, id, CALL));
    left = docker_text((const char *const[]){ "docker", "volume", "ls", "-q", NULL });
    cr_expect(strlen(names) > 64, "there is no volume: %s", names);
    for (char *name = strtok_r(names, " ", &save); name; name = strtok_r(NULL, " ", &save))
        cr_expect(!strstr(left, name), "volume %s is left", name);
    free(container);
    free(names);
    free(left);
}

CONFORMANCE_TEST(images, N2_an_image_with_a_will_of_its_own)
{
    char *container, *text;

    box_up_on("box", "stockade-test:wilful");
    EXPECT_RUN(sh("box", "pwd; id -u; echo \"$EVIL\"; echo x > /tmp/x && cat /tmp/x; touch made && ls"), 0,
               "/workspace\n0\n\nx\nmade\n");
    EXPECT_RUN(sh("box", "tr '\\0' ' ' </proc/1/cmdline"), 0, "/run/stockade/agent /run/stockade/boot/socket ");
    container = container_of("box");
    sleep_ms(1500); /* its HEALTHCHECK would have failed by then */
    text = docker_text((const char *const[]){ "docker", "inspect", "--format",
                                              "{{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}", container,
                                              NULL });
    cr_expect(!strcmp(text, "running "), "%s", text);
    free(text);
    free(container);
    destroy_with_volumes("box");
}

/* What a start cannot find is named, and nothing is left of the attempt (L7). */
static void start_fails(const char *id, rt_sandbox_spec *spec, const char *names)
{
    char *why;

    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, spec, CALL, NULL));
    cr_expect(fx.ops->start(fx.rt, id, CALL) != RT_OK);
    EXPECT_NAMES(names);
    why = await_status(id, RT_SANDBOX_ERROR);
    cr_expect(strstr(why, names), "%s", why);
    cr_expect(containers_of(id) == 0);
    free(why);
}

CONFORMANCE_TEST(images, L7_what_the_engine_does_not_have)
{
    rt_sandbox_spec image = box_spec("image"), network = box_spec("network"), runtime = box_spec("runtime");

    fixture_reopen_with("pull", "\"never\"");
    image.image = "stockade-test:no-such-tag";
    start_fails("image", &image, "no-such-tag");
    network.network = "no-such-network";
    start_fails("network", &network, "no-such-network");
    runtime.oci_runtime = "no-such-runtime";
    start_fails("runtime", &runtime, "no-such-runtime");
}

/* What the image would put into the workspace would hide the codebase's own. */
CONFORMANCE_TEST(images, L7_a_volume_within_the_workspace)
{
    char *container = docker_text((const char *const[]){ "docker", "create", "stockade-test:busybox", "true", NULL }),
         image[64];
    rt_sandbox_spec spec = box_spec("box");

    snprintf(image, sizeof image, "stockade-test:hiding-%d", (int)getpid());
    DOCKER("commit", "--change", "VOLUME /workspace/hidden", container, image);
    DOCKER("rm", container);
    spec.image = image;
    start_fails("box", &spec, "/workspace/hidden");
    cr_expect(!tree_exists(fx.codebase, "hidden"), "the image makes directories in the codebase");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    spec.workspace = "/elsewhere";
    box_up_spec(&spec);
    destroy_with_volumes("box");
    DOCKER("image", "rm", image);
    free(container);
}

/*
 * What Stockade mounts would be where the sandbox can rename it. An image is made of a tree, for committing would keep
 * the Engine's own files.
 */
CONFORMANCE_TEST(images, L7_a_link_into_the_workspace)
{
    static const char script[] = "mkdir -p \"$1/run\" && ln -s ../workspace/deep \"$1/run/stockade\" && "
                                 "tar -C \"$1\" -c . | docker -H \"$2\" import - \"$3\"";
    const rt_rule rule = WRITE_ALL; /* else what is to be mounted on cannot be made */
    char tree[4200], image[64], *host = docker_host();
    const char *argv[] = { "/bin/sh", "-c", script, "sh", tree, host, image, NULL },
               *env[] = { "PATH=/usr/bin:/bin", "HOME=/nonexistent", NULL };
    const struct command import = { .argv = argv, .env = env };
    rt_sandbox_spec spec = box_spec("box");
    struct command_result result;

    snprintf(tree, sizeof tree, "%s/tree", fx.dir);
    snprintf(image, sizeof image, "stockade-test:linked-%d", (int)getpid());
    HOST_MUST(command_run(&import, &result));
    cr_assert(result.code == 0, "%s", result.err);
    command_result_release(&result);
    spec.image = image;
    spec.rules = &rule;
    spec.n_rules = 1;
    start_fails("box", &spec, "symbolic link that leads into the workspace");
    DOCKER("image", "rm", image);
    free(host);
}

CONFORMANCE_TEST(images, L7_a_pull_from_nowhere)
{
    rt_sandbox_spec spec = box_spec("pulled");

    spec.image = "127.0.0.1:1/stockade/none:1";
    start_fails("pulled", &spec, "127.0.0.1:1/stockade/none:1");
}

CONFORMANCE_TEST(images, B1_references_that_smuggle)
{
    static const char *const bad[] = { "", "-v", "a b", "x\"y", "a?tag=b", "a&b", "a\n" };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rt_sandbox_spec spec = box_spec("box");

        spec.image = bad[i];
        EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
        spec.image = NULL;
        spec.network = "container:abc";
        EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
    }
}
