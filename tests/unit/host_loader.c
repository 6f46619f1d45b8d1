/* Finding and refusing plugins: one message per cause, naming file and reason, and the host lives on (contract B2). */
#include "build.h"
#include "host/stockade.h"
#include "proc.h"
#include "tree.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/stockade-loader-XXXXXX";
static char *plugins; /* where the build puts the test plugins */

static void dir_make(void)
{
    cr_assert(mkdtemp(dir));
    plugins = build_path("tests/plugins");
    setenv("STOCKADE_PLUGIN_PATH", plugins, 1);
}

static void dir_remove(void)
{
    cr_expect(tree_remove(dir));
    free(plugins);
}

TestSuite(host_loader, .init = dir_make, .fini = dir_remove, .timeout = 300);

/* Loads a plugin, which must be refused: for the status, with the file's name and the reason in the message. */
static void refusal_expect(const char *name, int32_t status, const char *file, const char *reason)
{
    rt_error err = RT_ERROR_INIT;
    stockade_plugin *plugin = NULL;

    cr_expect_eq(stockade_plugin_load(name, NULL, &err, &plugin), status, "%s: %s", name, err.message);
    cr_expect_eq(err.status, status);
    cr_expect(strstr(err.message, file), "'%s' does not name '%s'", err.message, file);
    cr_expect(strstr(err.message, reason), "'%s' does not say '%s'", err.message, reason);
    cr_expect_null(plugin);
    stockade_plugin_unload(plugin);
}

struct refusal {
    char name[32];
    int32_t status;
    char reason[96];
};

ParameterizedTestParameters(host_loader, B2_refusal_names_file_and_reason)
{
    static struct refusal cases[] = {
        { "wrong_abi", RT_E_ABI, "made for ABI 42.7, this host has ABI 1.1" },
        { "no_symbol", RT_E_ABI, "no symbol 'rt_plugin_entry'" },
        { "null_entry", RT_E_ABI, "returned NULL" },
        { "torn_table", RT_E_ABI, "torn table: rt_ops has 216 bytes, version 1.0 has 304" },
        { "no_create", RT_E_ABI, "the op 'create', which every plugin needs, is missing" },
        { "broken_promise", RT_E_ABI, "the op 'pause', which its capabilities promise, is missing" },
        { "other_name", RT_E_ABI, "calls itself 'bwrap', not 'other_name'" },
    };

    return cr_make_param_array(struct refusal, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct refusal *c, host_loader, B2_refusal_names_file_and_reason)
{
    char file[64];
    size_t fds = proc_fds();

    snprintf(file, sizeof file, "%s.so", c->name);
    refusal_expect(c->name, c->status, file, c->reason);
    cr_expect_eq(proc_fds(), fds, "an fd was left open");
    cr_expect_eq(system("grep -q tests/plugins/ /proc/$PPID/maps"), 256, "the plugin was left loaded");
}

Test(host_loader, B2_missing_lists_where_it_looked)
{
    setenv("STOCKADE_PLUGIN_PATH", "/no/where::/else/where", 1);
    refusal_expect("mock", RT_E_UNAVAILABLE, "mock.so", "/no/where, /else/where");
    refusal_expect("/no/where/mock.so", RT_E_UNAVAILABLE, "/no/where/mock.so", "No such file");
}

Test(host_loader, B2_names_that_are_none)
{
    refusal_expect("Mock", RT_E_INVAL, "'Mock'", "no runtime's name");
    refusal_expect("", RT_E_INVAL, "''", "no runtime's name");
    refusal_expect("a.b", RT_E_INVAL, "'a.b'", "no runtime's name");
    refusal_expect("abcdefghijklmnopqrstuvwxyz0123456", RT_E_INVAL, "abc", "no runtime's name");
}

static char *file_in(const char *name)
{
    static char file[128];

    snprintf(file, sizeof file, "%s/%s", dir, name);
    return file;
}

Test(host_loader, B2_not_an_elf)
{
    cr_assert(
        tree_put(dir, "text.so", "this is no shared object, but it is longer than an ELF header is, which matters"));
    refusal_expect(file_in("text.so"), RT_E_UNAVAILABLE, "text.so", "not an ELF file");
    cr_assert(tree_put(dir, "empty.so", ""));
    refusal_expect(file_in("empty.so"), RT_E_UNAVAILABLE, "empty.so", "not an ELF file");
    cr_assert(tree_mkdir(dir, "dir.so"));
    refusal_expect(file_in("dir.so"), RT_E_UNAVAILABLE, "dir.so", "not a regular file");
    cr_assert_eq(mkfifo(file_in("fifo.so"), 0600), 0);
    refusal_expect(file_in("fifo.so"), RT_E_UNAVAILABLE, "fifo.so", "not a regular file");
    refusal_expect("/proc/self/exe", RT_E_UNAVAILABLE, "/proc/self/exe", "");
}

/* Cut at every place up to the end of the last segment: refused before the dynamic linker could touch it. */
Test(host_loader, B2_truncated_elf)
{
    size_t len, needed = 0;
    char *data = tree_read(plugins, "mock.so", &len);
    const Elf64_Ehdr *header = (const void *)data;
    const Elf64_Phdr *segments;

    cr_assert(data);
    segments = (const void *)(data + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (segments[i].p_offset + segments[i].p_filesz > needed)
            needed = segments[i].p_offset + segments[i].p_filesz;
    for (size_t cut = 4; cut < needed; cut += cut < 1200 ? 37 : 997) {
        cr_assert(tree_put_bytes(dir, "cut.so", data, cut));
        refusal_expect(file_in("cut.so"), RT_E_UNAVAILABLE, "cut.so", "truncated ELF file");
    }
    cr_assert(tree_put_bytes(dir, "cut.so", data, needed - 1));
    refusal_expect(file_in("cut.so"), RT_E_UNAVAILABLE, "cut.so", "truncated ELF file");
    free(data);
}

Test(host_loader, B2_other_machine_or_kind)
{
    size_t len;
    char *data = tree_read(plugins, "mock.so", &len);
    Elf64_Ehdr *header = (void *)data;

    cr_assert(data);
    header->e_machine ^= 0x40;
    cr_assert(tree_put_bytes(dir, "machine.so", data, len));
    refusal_expect(file_in("machine.so"), RT_E_UNAVAILABLE, "machine.so", "another machine");
    header->e_machine ^= 0x40;
    header->e_type = ET_REL;
    cr_assert(tree_put_bytes(dir, "object.so", data, len));
    refusal_expect(file_in("object.so"), RT_E_UNAVAILABLE, "object.so", "not a shared object");
    header->e_type = ET_DYN;
    header->e_phnum = 0;
    cr_assert(tree_put_bytes(dir, "headers.so", data, len));
    refusal_expect(file_in("headers.so"), RT_E_UNAVAILABLE, "headers.so", "malformed ELF header");
    free(data);
}

Test(host_loader, B2_the_host_lives_on)
{
    rt_error err = RT_ERROR_INIT;
    stockade_plugin *plugin;

    refusal_expect("wrong_abi", RT_E_ABI, "wrong_abi.so", "ABI");
    refusal_expect("torn_table", RT_E_ABI, "torn_table.so", "torn");
    cr_assert_eq(stockade_plugin_load("mock", NULL, &err, &plugin), RT_OK, "%s", err.message);
    cr_expect_eq(err.status, RT_OK);
    cr_expect_str_eq(err.message, "");
    cr_expect_str_eq(plugin->info->name, "mock");
    cr_expect_eq(plugin->info->ops, plugin->ops);
    stockade_plugin_unload(plugin);
}

/* ---- search order ---------------------------------------------------------------------------------------------- */

/* A copy of the mock in a directory below dir. */
static void mock_copy(const char *below)
{
    char from[512], to[128];

    snprintf(from, sizeof from, "%s/mock.so", plugins);
    snprintf(to, sizeof to, "%s/mock.so", below);
    cr_assert(tree_copy(from, dir, to, 0755));
}

static void found_expect(const stockade_config *config, const char *below)
{
    rt_error err = RT_ERROR_INIT;
    stockade_plugin *plugin;
    char file[128];

    snprintf(file, sizeof file, "%s/%s/mock.so", dir, below);
    cr_assert_eq(stockade_plugin_load("mock", config, &err, &plugin), RT_OK, "%s", err.message);
    cr_expect_str_eq(plugin->file, file);
    stockade_plugin_unload(plugin);
}

Test(host_loader, environment_goes_before_config_and_first_file_decides)
{
    rt_error err = RT_ERROR_INIT;
    stockade_config *config;
    char text[256], path[256];

    mock_copy("one");
    mock_copy("two");
    snprintf(text, sizeof text, "{ \"plugin_path\": [\"%s/empty\", \"%s/two\"] }", dir, dir);
    cr_assert_eq(stockade_config_parse(text, strlen(text), "f", &err, &config), RT_OK, "%s", err.message);
    unsetenv("STOCKADE_PLUGIN_PATH");
    found_expect(config, "two");
    snprintf(path, sizeof path, "%s/one:%s/two", dir, dir);
    setenv("STOCKADE_PLUGIN_PATH", path, 1);
    found_expect(config, "one");
    /* A plugin that is there and broken is an error, not a reason to take another one. */
    cr_assert(tree_put(dir, "one/mock.so", "broken"));
    refusal_expect("mock", RT_E_UNAVAILABLE, "one/mock.so", "not an ELF file");
    stockade_config_free(config);
}

Test(host_loader, find_all_lists_good_and_bad)
{
    static const struct {
        const char *name;
        bool loads;
    } wanted[] = { { "broken_promise", false }, { "mock", true }, { "no_symbol", false }, { "older_minor", true } };
    rt_error err = RT_ERROR_INIT;
    stockade_found_list *list;
    size_t at = 0;

    cr_assert_eq(stockade_plugin_find_all(NULL, &err, &list), RT_OK, "%s", err.message);
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            cr_expect_lt(strcmp(list->items[i - 1].name, list->items[i].name), 0, "not in order, or listed twice");
        if (at < sizeof wanted / sizeof *wanted && !strcmp(list->items[i].name, wanted[at].name)) {
            cr_expect_eq(list->items[i].plugin != NULL, wanted[at].loads, "%s", wanted[at].name);
            cr_expect_eq(*list->items[i].error.message != '\0', !wanted[at].loads, "%s", wanted[at].name);
            at++;
        }
    }
    cr_expect_eq(at, sizeof wanted / sizeof *wanted, "'%s' was not found", at < 4 ? wanted[at].name : "");
    stockade_found_list_free(list);
}

/* ---- versions -------------------------------------------------------------------------------------------------- */

Test(host_loader, later_minor_is_cut_to_what_is_known)
{
    rt_error err = RT_ERROR_INIT;
    stockade_plugin *plugin;

    cr_assert_eq(stockade_plugin_load("later_minor", NULL, &err, &plugin), RT_OK, "%s", err.message);
    cr_expect_eq(plugin->info->abi_minor, RT_ABI_MINOR + 1);
    cr_expect_eq(plugin->info->size, sizeof(rt_plugin));
    cr_expect_eq(plugin->ops->size, sizeof(rt_ops));
    stockade_plugin_unload(plugin);
}

Test(host_loader, missing_ops_answer_unsupported)
{
    rt_error err = RT_ERROR_INIT;
    rt_call call = RT_CALL_INIT;
    stockade_plugin *plugin;
    rt_stats *stats = NULL;
    rt_process *process = NULL;

    cr_assert_eq(stockade_plugin_load("older_minor", NULL, &err, &plugin), RT_OK, "%s", err.message);
    for (size_t at = sizeof(size_t); at < sizeof(rt_ops); at += sizeof(void (*)(void))) {
        static const char unset[sizeof(void (*)(void))];

        cr_expect_neq(memcmp((const char *)plugin->ops + at, unset, sizeof unset), 0, "the op at %zu is NULL", at);
    }
    cr_expect_eq(plugin->ops->stats(NULL, "x", &call, &stats), RT_E_UNSUPPORTED);
    cr_expect_str_eq(call.error.op, "stats");
    cr_expect(strstr(call.error.message, "no stats"), "%s", call.error.message);
    cr_expect_eq(plugin->ops->process_spawn(NULL, "x", NULL, NULL, &process), RT_E_UNSUPPORTED);
    cr_expect_eq(plugin->ops->pause(NULL, "x", &call), RT_E_UNSUPPORTED);
    plugin->ops->stats_free(stats);
    plugin->ops->process_release(NULL, process);
    plugin->ops->session_list_free(NULL);
    stockade_plugin_unload(plugin);
}
