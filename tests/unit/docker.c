/* The docker backend's pure parts: addresses, API versions, references, containers' descriptions, line streams. */
#include "docker/docker.h"
#include "json.h"
#include "util.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* ---- addresses ---- */

Test(docker_address, what_is_taken)
{
    static const struct {
        const char *host;
        enum tls_mode tls;
        const char *socket, *url;
    } cases[] = {
        { "unix:///var/run/docker.sock", TLS_VERIFY, "/var/run/docker.sock", "http://localhost" },
        { "tcp://127.0.0.1:2375", TLS_OFF, NULL, "http://127.0.0.1:2375" },
        { "tcp://example.org", TLS_OFF, NULL, "http://example.org:2375" },
        { "tcp://example.org", TLS_VERIFY, NULL, "https://example.org:2376" },
        { "tcp://[::1]:99/", TLS_INSECURE, NULL, "https://[::1]:99" },
        { "https://h", TLS_OFF, NULL, "https://h:2376" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct address address = { 0 };

        cr_assert_null(address_parse(cases[i].host, cases[i].tls, NULL, &address), "%s", cases[i].host);
        cr_expect_str_eq(address.base_url, cases[i].url);
        cr_expect(!cases[i].socket == !address.socket_path);
        if (cases[i].socket)
            cr_expect_str_eq(address.socket_path, cases[i].socket);
        address_release(&address);
    }
}

Test(docker_address, B1_what_is_refused)
{
    static const char *const bad[] = { "",
                                       "unix://",
                                       "unix://relative",
                                       "ssh://host",
                                       "tcp://",
                                       "tcp://a b",
                                       "tcp://a:b",
                                       "tcp://a@b:1",
                                       "tcp://a:1/path",
                                       "/var/run/x",
                                       "tcp://[::",
                                       "tcp://:80",
                                       "npipe:////./pipe",
                                       "tcp://a:123456",
                                       "tcp://a?x",
                                       "tcp://a:65536",
                                       "tcp://a:0" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct address address = { 0 };

        cr_expect_not_null(address_parse(bad[i], TLS_OFF, NULL, &address), "%s", bad[i]);
        address_release(&address);
    }
}

/* ---- the API's version ---- */

Test(docker_version, negotiation)
{
    cr_expect_eq(engine_negotiate("1.12", "1.41"), 41);
    cr_expect_eq(engine_negotiate("1.24", "1.47"), 41);
    cr_expect_eq(engine_negotiate("1.44", "1.52"), 44);
    cr_expect_eq(engine_negotiate("", "1.41"), 41);
    cr_expect_eq(engine_negotiate("1.12", "1.40"), 0);
    for (const char **bad = (const char *[]){ "", "2.0", "1.", "1.x", "1.41x", "1.-1", "1.99999", NULL }; *bad; bad++)
        cr_expect_eq(engine_negotiate("1.12", *bad), 0, "%s", *bad);
}

Test(docker_version, what_a_full_disk_is)
{
    cr_expect_eq(engine_status(500, "write /x: no space left on device"), RT_E_RESOURCE);
    cr_expect_eq(engine_status(500, "something"), RT_E_UNAVAILABLE);
    cr_expect_eq(engine_status(500, "normalizing image: invalid reference format"), RT_E_INVAL);
    cr_expect_eq(engine_status(500, "normalizing name: repository name must be lowercase"), RT_E_INVAL);
    cr_expect_eq(engine_status(500, "normalizing image: unsupported digest algorithm"), RT_E_INVAL);
    cr_expect_eq(engine_status(500, "reading manifest nope in r/i: manifest unknown: manifest unknown"), RT_E_INVAL);
    cr_expect_eq(engine_status(302, ""), RT_E_PROTOCOL);
}

Test(docker_version, escaping)
{
    char *escaped = engine_escape("a/b:c d&e=\xff{\"~");

    cr_expect_str_eq(escaped, "a%2Fb%3Ac%20d%26e%3D%FF%7B%22~");
    free(escaped);
}

/* ---- references ---- */

static void expect_tag(const char *reference, size_t name_len, const char *tag)
{
    size_t len = 0;

    cr_expect_str_eq(image_tag(reference, &len), tag);
    cr_expect_eq(len, name_len, "%s: %zu", reference, len);
}

Test(docker_image, tags)
{
    expect_tag("ubuntu", 6, "latest");
    expect_tag("ubuntu:22.04", 6, "22.04");
    expect_tag("host:5000/a/b", 13, "latest");
    expect_tag("host:5000/a/b:c", 13, "c");
    expect_tag("a@sha256:0123", 1, "sha256:0123");
    expect_tag("a:b@sha256:0123", 3, "sha256:0123");
}

Test(docker_image, names_that_smuggle)
{
    for (const char **bad =
             (const char *[]){ "", "-v", "/etc", "a b", "a\"b", "a?b", "a&b=c", "a\n", "a%2f", "a#b", NULL };
         *bad; bad++)
        cr_expect(!image_valid(*bad), "'%s'", *bad);
    cr_expect(image_valid("registry.example.org:5000/team/image_1:v1.2-x"));
}

/* ---- containers ---- */

/* Follows keys through objects. */
static const cJSON *at(const cJSON *json, const char *a, const char *b)
{
    json = cJSON_GetObjectItemCaseSensitive(json, a);
    return b ? cJSON_GetObjectItemCaseSensitive(json, b) : json;
}

static void expect_json(const cJSON *item, const char *want)
{
    char *text = item ? cJSON_PrintUnformatted(item) : strdup("(absent)");

    cr_expect_str_eq(text, want);
    free(text);
}

static cJSON *body_of(const struct docker_settings *settings, struct spec *spec, const struct identity *identity,
                      const char *seccomp)
{
    const struct boot boot = {
        .spec = spec, .identity = identity, .workspace_source = "/s/mnt", .agent = "/l/agent", .boot_dir = "/s/boot"
    };
    cJSON *body;

    spec->id = "box";
    spec->codebase_id = "code \"1\"";
    spec->workspace = "/workspace";
    spec->image = "image:1";
    spec->network = "none";
    if (!spec->oci_runtime)
        spec->oci_runtime = "";
    body = container_body(settings, &boot, &(struct container_terms){ .state_id = "state0", .seccomp = seccomp });
    cr_assert_not_null(body);
    return body;
}

Test(docker_body, N2_hardened_by_default)
{
    const struct docker_settings settings = { .oci_runtime = "", .read_only_root = true, .no_new_privileges = true };
    const struct identity user = { .uid = 1000, .gid = 100 };
    struct spec spec = { .lifetime = RT_LIFETIME_HOST, .limits = { .pids = 512 } };
    cJSON *body = body_of(&settings, &spec, &user, NULL);

    expect_json(at(body, "User", NULL), "\"1000:100\"");
    expect_json(at(body, "Entrypoint", NULL), "[\"/run/stockade/agent\",\"/run/stockade/boot/socket\"]");
    expect_json(at(body, "Cmd", NULL), "[]");
    expect_json(at(body, "Healthcheck", "Test"), "[\"NONE\"]");
    expect_json(at(body, "Labels", "stockade.codebase"), "\"code \\\"1\\\"\"");
    expect_json(at(body, "HostConfig", "CapDrop"), "[\"ALL\"]");
    expect_json(at(body, "HostConfig", "CapAdd"), "[]");
    expect_json(at(body, "HostConfig", "SecurityOpt"), "[\"no-new-privileges\"]");
    expect_json(at(body, "HostConfig", "ReadonlyRootfs"), "true");
    expect_json(at(body, "HostConfig", "PidsLimit"), "512");
    expect_json(at(body, "HostConfig", "NetworkMode"), "\"none\"");
    expect_json(at(body, "HostConfig", "AutoRemove"), "true");
    expect_json(at(body, "HostConfig", "Init"), "false");
    expect_json(at(body, "HostConfig", "Privileged"), "(absent)");
    expect_json(at(body, "HostConfig", "Memory"), "(absent)");
    expect_json(at(body, "HostConfig", "Runtime"), "(absent)");
    cJSON_Delete(body);
}

/* No socket leads to this one's agent: it is told where to listen, and how long things may take. */
Test(docker_body, an_agent_that_is_reached_by_the_engines_exec)
{
    const struct docker_settings settings = { .common = { .stop_grace_ms = 750 }, .oci_runtime = "" };
    const struct identity user = { .uid = 1000, .gid = 100 };
    struct spec spec = { .id = "box",
                         .codebase_id = "code",
                         .workspace = "/workspace",
                         .image = "image:1",
                         .network = "none",
                         .oci_runtime = "",
                         .max_lifetime_ms = 60000,
                         .idle_timeout_ms = 5000 };
    const struct boot boot = {
        .spec = &spec, .identity = &user, .workspace_source = "/s/mnt", .agent = "/l/agent", .boot_dir = "/s/boot"
    };
    cJSON *body = container_body(&settings, &boot, &(struct container_terms){ .state_id = "state0", .relayed = true });

    expect_json(at(body, "Entrypoint", NULL),
                "[\"/run/stockade/agent\",\"inside\",\"stockade-state0-box\",\"750\",\"60000\",\"5000\","
                "\"/run/stockade/boot/notes\"]");
    cJSON_Delete(body);
}

Test(docker_body, W9_root_keeps_what_it_needs_for_files_of_others)
{
    const struct docker_settings settings = { .oci_runtime = "runsc" };
    const struct identity root = { 0 };
    struct spec spec = { .lifetime = RT_LIFETIME_PERSISTENT };
    cJSON *body = body_of(&settings, &spec, &root, "{\"x\":1}");

    expect_json(at(body, "HostConfig", "CapAdd"),
                "[\"CHOWN\",\"DAC_OVERRIDE\",\"FOWNER\",\"FSETID\",\"KILL\",\"SETGID\",\"SETUID\"]");
    expect_json(at(body, "HostConfig", "SecurityOpt"), "[\"seccomp={\\\"x\\\":1}\"]");
    expect_json(at(body, "HostConfig", "AutoRemove"), "false");
    expect_json(at(body, "HostConfig", "Runtime"), "\"runsc\"");
    cJSON_Delete(body);
}

Test(docker_body, N3_limits)
{
    const struct docker_settings settings = { .oci_runtime = "" };
    const struct identity user = { .uid = 1, .gid = 1 };
    struct spec spec = { .limits = { .memory_bytes = 64 << 20, .cpu_millis = 1500, .cpu_shares = 256, .pids = 7 } };
    cJSON *body = body_of(&settings, &spec, &user, NULL);

    expect_json(at(body, "HostConfig", "Memory"), "67108864");
    expect_json(at(body, "HostConfig", "MemorySwap"), "67108864");
    expect_json(at(body, "HostConfig", "CpuPeriod"), "100000");
    expect_json(at(body, "HostConfig", "CpuQuota"), "150000");
    expect_json(at(body, "HostConfig", "CpuShares"), "256");
    expect_json(at(body, "HostConfig", "PidsLimit"), "7");
    cJSON_Delete(body);
}

/* ---- streams of lines ---- */

struct seen {
    int n;
    char last[32];
};

static bool see(void *arg, const cJSON *line)
{
    struct seen *seen = arg;
    bool ok = true;

    seen->n++;
    snprintf(seen->last, sizeof seen->last, "%s", json_str(line, "a", "", &ok));
    return ok;
}

Test(docker_lines, pieces_of_any_size)
{
    static const char text[] = "{\"a\":\"one\"}\r\n\r\n{\"a\":\"two\"}\n{\"a\":\"three\"}";

    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct seen seen = { 0 };
        struct json_lines lines = { .take = see, .arg = &seen };

        for (size_t i = 0; i < sizeof text - 1; i += piece)
            cr_expect(json_lines_feed(&lines, text + i, i + piece < sizeof text - 1 ? piece : sizeof text - 1 - i));
        cr_expect(json_lines_end(&lines));
        cr_expect_eq(seen.n, 3);
        cr_expect_str_eq(seen.last, "three");
    }
}

Test(docker_lines, B3_a_line_without_an_end)
{
    struct seen seen = { 0 };
    struct json_lines lines = { .take = see, .arg = &seen };
    char block[65536];
    size_t fed = 0;

    memset(block, ' ', sizeof block);
    while (json_lines_feed(&lines, block, sizeof block) && fed < 4 * JSON_LINE_MAX)
        fed += sizeof block;
    cr_expect_leq(fed, JSON_LINE_MAX);
    (void)json_lines_end(&lines);
}
