/*
 * Texts that would be more than data on their way into the Engine's calls: JSON, paths, queries, flags. They are
 * refused, or arrive as they are; a container of somebody else's is not touched (contract B1, X5).
 */
#include "container.h"
#include "fixture.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#define LONG 100000

static const char *const hostile[] = {
    "\"},{\"Privileged\":true,\"x\":{\"y\":\"",
    "\\\"],\"Cmd\":[\"reboot\"]",
    "../../containers/json?all=1",
    "?force=1&v=1#",
    "%2e%2e%2f%00",
    "--privileged",
    "$(id) `id` ${HOME} ; id | id",
    "a line\r\nX-Registry-Auth: e30=\r\n\r\nDELETE /containers/x HTTP/1.1",
    "\x01\x02\x1b[31m\x7f",
    "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb3",
    "",
};
#define N_HOSTILE (sizeof hostile / sizeof *hostile)

/* A container of somebody else's, which is there before and after. */
static char *bystander_make(void)
{
    return docker_text(
        (const char *const[]){ "docker", "create", "--network", "none", "stockade-test:busybox", "true", NULL });
}

static void bystander_expect(char *bystander)
{
    char *state =
        docker_text((const char *const[]){ "docker", "inspect", "--format", "{{.State.Status}}", bystander, NULL });

    cr_expect(!strcmp(state, "created"), "somebody else's container is %s", state);
    DOCKER("rm", bystander);
    free(state);
    free(bystander);
}

/* Names of the bystander that an unescaped path would find. */
CONFORMANCE_TEST(smuggling, B1_ids)
{
    char *bystander = bystander_make(), ids[8][160];
    size_t n = 0;

    snprintf(ids[n++], sizeof ids[0], "../%s", bystander);
    snprintf(ids[n++], sizeof ids[0], "x/../../%s", bystander);
    snprintf(ids[n++], sizeof ids[0], "%s?force=1", bystander);
    snprintf(ids[n++], sizeof ids[0], "..%%2f%s", bystander);
    snprintf(ids[n++], sizeof ids[0], "box\"},{\"%.12s", bystander);
    snprintf(ids[n++], sizeof ids[0], "box\n%s", bystander);
    snprintf(ids[n++], sizeof ids[0], "%s", bystander); /* 64 bytes: one too many */
    snprintf(ids[n++], sizeof ids[0], "%.12s", bystander);
    for (size_t i = 0; i < n; i++) {
        const bool allowed = i == n - 1;
        rt_sandbox_spec spec = box_spec(ids[i]);
        rt_exec_result *result = NULL;

        EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->destroy(fx.rt, ids[i], CALL));
        EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->start(fx.rt, ids[i], CALL));
        EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->stop(fx.rt, ids[i], CALL));
        EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->pause(fx.rt, ids[i], CALL));
        EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->exec(fx.rt, ids[i], REQUEST(.shell = "true"), CALL, &result));
        EXPECT_STATUS(allowed ? RT_OK : RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
        if (!allowed)
            continue;
        ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, ids[i], CALL));
        EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, ids[i], CALL));
    }
    bystander_expect(bystander);
}

static void variable_expect(const char *name, const char *value, const rt_exec_request *more)
{
    rt_exec_request request = *more;
    const struct run *run;
    char print[64];

    snprintf(print, sizeof print, "printf %%s \"$%s\"", name);
    request.shell = print;
    run = run_request("box", &request);
    cr_expect(run_is(run, 0, value), "%s: %s", name, run_describe(run));
}

/* Each text, and one that is very long, as a variable of the sandbox's and of the request's. */
CONFORMANCE_TEST(smuggling, X5_environment)
{
    char *of_sandbox[N_HOSTILE + 2] = { NULL }, *of_request[N_HOSTILE + 2] = { NULL }, *bystander = bystander_make();
    char *endless = malloc(LONG + 1), name[32];
    rt_sandbox_spec spec = box_spec("box");
    rt_exec_request request = { .size = sizeof request };

    memset(endless, '"', LONG);
    endless[LONG] = '\0';
    for (size_t i = 0; i <= N_HOSTILE; i++) {
        const char *value = i < N_HOSTILE ? hostile[i] : endless;

        HOST_MUST(asprintf(&of_sandbox[i], "S%zu=%s", i, value) > 0 &&
                  asprintf(&of_request[i], "R%zu=%s", i, value) > 0);
    }
    spec.env = (const char *const *)of_sandbox;
    request.env = (const char *const *)of_request;
    box_up_spec(&spec);
    for (size_t i = 0; i <= N_HOSTILE; i++) {
        snprintf(name, sizeof name, "S%zu", i);
        variable_expect(name, i < N_HOSTILE ? hostile[i] : endless, &request);
        *name = 'R';
        variable_expect(name, i < N_HOSTILE ? hostile[i] : endless, &request);
    }
    for (size_t i = 0; i <= N_HOSTILE; i++) {
        free(of_sandbox[i]);
        free(of_request[i]);
    }
    free(endless);
    bystander_expect(bystander);
}

static void label_expect(const char *container, const char *want)
{
    char *got = docker_text((const char *const[]){ "docker", "inspect", "--format",
                                                   "{{index .Config.Labels \"stockade.codebase\"}}", container, NULL });

    cr_expect(!strcmp(got, want), "the codebase's name is \"%s\" to the Engine, and not \"%s\"", got, want);
    free(got);
}

static void privileges_expect_none(const char *container)
{
    char *got = docker_text((const char *const[]){ "docker", "inspect", "--format",
                                                   "{{.HostConfig.Privileged}} {{len .Config.Labels}} {{.Config.Cmd}}",
                                                   container, NULL });

    cr_expect(!strcmp(got, "false 3 []"), "%s", got);
    free(got);
}

/* Each text as the codebase's name, which the Engine is told, and as labels, which it is not. */
CONFORMANCE_TEST(smuggling, B1_labels)
{
    char *bystander = bystander_make();

    for (size_t i = 0; i < N_HOSTILE; i++) {
        const char *text = hostile[i];
        const rt_label labels[] = { { sizeof(rt_label), *text ? text : "key", "value" },
                                    { sizeof(rt_label), "stockade.state", text },
                                    { sizeof(rt_label), "stockade.sandbox", text } };
        rt_sandbox_spec spec = box_spec("box");
        rt_sandbox_info *info = NULL;
        char *container;

        spec.codebase_id = text;
        spec.labels = labels;
        spec.n_labels = 3;
        box_up_spec(&spec);
        container = container_of("box");
        label_expect(container, text);
        privileges_expect_none(container);
        cr_expect(containers_of("box") == 1, "\"%s\": its own container is lost", text);
        ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
        cr_expect(!strcmp(info->codebase_id, text), "%s", info->codebase_id);
        fx.ops->sandbox_info_free(info);
        ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
        free(container);
    }
    bystander_expect(bystander);
}

CONFORMANCE_TEST(smuggling, B1_users_networks_and_runtimes)
{
    static const char *const users[] = { "root",
                                         "0:0;0",
                                         "0:0\n",
                                         " 0",
                                         "0x0",
                                         "-1",
                                         "1:",
                                         ":1",
                                         "1:2:3",
                                         "4294967296",
                                         "4294967295",
                                         "99999999999999999999",
                                         "0\",\"Privileged\":true,\"x\":\"" };
    rt_sandbox_spec spec = box_spec("box");

    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        spec.user = users[i];
        EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
        EXPECT_NAMES("user");
    }
    spec.user = NULL;
    for (size_t i = 0; i + 1 < N_HOSTILE; i++) { /* the last is nothing: the default */
        spec.network = hostile[i];
        EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
        EXPECT_NAMES("network");
        spec.network = NULL;
        spec.oci_runtime = hostile[i];
        EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
        EXPECT_NAMES("oci_runtime");
        spec.oci_runtime = NULL;
        spec.image = hostile[i];
        EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
        EXPECT_NAMES("image");
        spec.image = getenv("STOCKADE_TEST_IMAGE");
    }
    cr_expect(box_status("box") == -1);
}

/* What has a reference's letters without being one: the Engine is asked, and takes it for a name. */
CONFORMANCE_TEST(smuggling, B1_images_that_are_paths)
{
    static const char *const images[] = {
        "../../containers/json", "a/../../../images/json", "..", "a@b@c", "a:b:c", "a@sha256:0"
    };
    char *bystander = bystander_make();

    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        rt_sandbox_spec spec = box_spec("box");

        spec.image = images[i];
        ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
        EXPECT_STATUS(RT_E_INVAL, fx.ops->start(fx.rt, "box", CALL));
        EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
        cr_expect(containers_of("box") == 0);
    }
    bystander_expect(bystander);
}

/* ---- config ---- */

static void config_refused(const char *key, cJSON *value)
{
    char *host = docker_host(), *text;
    cJSON *config = cJSON_CreateObject();
    rt_runtime *rt = NULL;

    cJSON_AddStringToObject(config, "docker_host", host);
    cJSON_DeleteItemFromObjectCaseSensitive(config, key);
    cJSON_AddItemToObject(config, key, value);
    text = cJSON_PrintUnformatted(config);
    cr_expect(plugin_open(&fx.plugin, fx.state, text, CALL, &rt) == RT_E_CONFIG, "%s: %s", text,
              status_name(fx.call.error.status));
    EXPECT_NAMES(key);
    if (rt)
        fx.ops->close(rt);
    cJSON_free(text);
    cJSON_Delete(config);
    free(host);
}

CONFORMANCE_TEST(smuggling, B1_config)
{
    static const char *const hosts[] = { "unix://",          "unix://docker.sock",   "tcp://h/../x", "tcp://h?x=1",
                                         "tcp://u@h",        "tcp://h:999999",       "tcp://h#x",    "tcp://h\r\nX: y",
                                         "file:///etc/host", "gopher://h:70/_GET /", "tcp://[::1]x", "unix" };

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        config_refused("docker_host", cJSON_CreateString(hosts[i]));
    for (size_t i = 0; i < N_HOSTILE; i++) {
        cJSON *caps = cJSON_CreateArray();

        cJSON_AddItemToArray(caps, cJSON_CreateString(hostile[i]));
        config_refused("cap_add", caps);
        config_refused("network_mode", cJSON_CreateString(hostile[i]));
        config_refused("default_image", cJSON_CreateString(hostile[i]));
        config_refused("exec_transport", cJSON_CreateString(hostile[i]));
        config_refused("pull", cJSON_CreateString(hostile[i]));
        if (!*hostile[i]) /* which these may be */
            continue;
        config_refused("oci_runtime", cJSON_CreateString(hostile[i]));
        config_refused("seccomp_profile", cJSON_CreateString(hostile[i]));
        config_refused("fuse_mount_base", cJSON_CreateString(hostile[i]));
    }
}
