/*
 * stockade.h - libstockade: what a host needs besides the ABI of runtime_api.h.
 *
 * It finds a runtime plugin by name, checks it, reads the config file, opens the runtime and hands out its operations:
 *
 *     stockade_runtime *sb;
 *     rt_call call = RT_CALL_INIT;
 *     if (stockade_open(NULL, &call, &sb))
 *         fprintf(stderr, "%s\n", call.error.message);
 *     else
 *         sb->ops->list(sb->rt, &call, &list);
 *
 * Conventions are those of runtime_api.h: functions return an rt_status, fill an rt_error if one is given (err may be
 * NULL), and write through ret on RT_OK only. Nothing is printed, no thread is started, no signal is touched. There is
 * no global state: all functions may be called from any thread, two at once on one object only where it is const.
 */
#ifndef STOCKADE_H
#define STOCKADE_H

#include "runtime_api.h"

#ifdef __cplusplus
extern "C" {
#endif

#define STOCKADE_API __attribute__((visibility("default")))

/* ---- config ---------------------------------------------------------------------------------------------------- */

/* A config file that was read and checked (docs/config.md); immutable. */
typedef struct stockade_config stockade_config;

/*
 * Reads and checks a config file: JSON with comments, at most 1 MiB.
 * file  NULL = $STOCKADE_CONFIG, else the first that exists of $XDG_CONFIG_HOME/stockade/config.json (XDG_CONFIG_HOME
 *       is ~/.config if not set) and /etc/stockade/config.json, else an empty config. A file that was named, by the
 *       argument or STOCKADE_CONFIG, must exist.
 * RT_E_CONFIG names the file and the line and column of a syntax error, or the key's path and what was expected there
 * (contract B1). The `runtimes` sections are checked when their plugin is: stockade_config_check_runtime().
 */
STOCKADE_API int32_t stockade_config_load(const char *file, rt_error *err, stockade_config **ret);
/* The same from memory; name stands for the file in messages. */
STOCKADE_API int32_t stockade_config_parse(const char *text, size_t len, const char *name, rt_error *err,
                                           stockade_config **ret);
STOCKADE_API void stockade_config_free(stockade_config *config); /* NULL is a no-op */

/* What the config says; the strings live as long as it does. NULL (or -1) where it says nothing. */
STOCKADE_API const char *stockade_config_file(const stockade_config *config); /* NULL if no file was read */
STOCKADE_API const char *stockade_config_runtime(const stockade_config *config);
STOCKADE_API const char *stockade_config_state_dir(const stockade_config *config);
STOCKADE_API const char *stockade_config_preset(const stockade_config *config);
STOCKADE_API int32_t stockade_config_workspace_mode(const stockade_config *config); /* enum rt_workspace_mode */
STOCKADE_API int32_t stockade_config_log_level(const stockade_config *config);      /* enum rt_log_level */
STOCKADE_API size_t stockade_config_n_plugin_dirs(const stockade_config *config);
STOCKADE_API const char *stockade_config_plugin_dir(const stockade_config *config, size_t i);
/* Names of the sections under "runtimes", in the file's order; NULL past the last. */
STOCKADE_API const char *stockade_config_section(const stockade_config *config, size_t i);
/* The whole config as JSON without comments; the caller free(3)s it. NULL if memory runs out. */
STOCKADE_API char *stockade_config_json(const stockade_config *config);
/* JSON Schema of the config file, static. */
STOCKADE_API const char *stockade_config_schema(void);

/* ---- plugins --------------------------------------------------------------------------------------------------- */

/* A loaded plugin. */
typedef struct stockade_plugin {
    const char *file;      /* it was loaded from */
    const rt_plugin *info; /* its description, the part that both sides know; info->ops is ops */
    /*
     * Its operations, the part that both sides know. Every member is set: what an older or incomplete plugin lacks
     * answers RT_E_UNSUPPORTED.
     */
    const rt_ops *ops;
} stockade_plugin;

/*
 * Loads a plugin and checks its entry symbol, ABI version, sizes and table.
 * name    a path if it has a '/'; otherwise a plugin's name, looked for as NAME.so in the directories of
 *         STOCKADE_PLUGIN_PATH (separated by ':'), the config's plugin_path, and lib/stockade of the place where
 *         libstockade or the program that contains it lies (../lib/stockade beside bin/, lib/stockade in a build tree)
 * config  NULL = none
 * The first file of that name is the one: if it cannot be loaded, that is an error, which names the file and the
 * reason (contract B2). RT_E_UNAVAILABLE: there is none, the message lists the directories. RT_E_ABI: another ABI
 * version, both are named, or a malformed table. RT_E_UNAVAILABLE: no plugin, or the dynamic linker refuses it.
 */
STOCKADE_API int32_t stockade_plugin_load(const char *name, const stockade_config *config, rt_error *err,
                                          stockade_plugin **ret);
/* Unloads it, once for each load; all its runtimes must be closed. NULL is a no-op. */
STOCKADE_API void stockade_plugin_unload(stockade_plugin *plugin);

/* What lies along the search path. */
typedef struct stockade_found {
    const char *name;
    const char *file;
    const stockade_plugin *plugin; /* NULL if it cannot be loaded: error says why */
    rt_error error;
} stockade_found;

typedef struct stockade_found_list {
    size_t n;
    const stockade_found *items; /* ordered by name; of two with one name the first of the search path */
} stockade_found_list;

STOCKADE_API int32_t stockade_plugin_find_all(const stockade_config *config, rt_error *err, stockade_found_list **ret);
STOCKADE_API void stockade_found_list_free(stockade_found_list *list); /* unloads them; NULL is a no-op */

/* Checks the config's section for this plugin against the plugin's schema: RT_E_CONFIG names the key's path. */
STOCKADE_API int32_t stockade_config_check_runtime(const stockade_config *config, const stockade_plugin *plugin,
                                                   rt_error *err);

/* ---- opening a runtime ----------------------------------------------------------------------------------------- */

typedef struct stockade_options {
    size_t size;
    const char *runtime; /* plugin's name or path; NULL = $STOCKADE_RUNTIME, else the config's, else "bwrap" */
    const stockade_config *config; /* borrowed for the call; NULL = the default file's */
    const char *runtime_config;    /* JSON object instead of the config's section for this runtime; NULL = that */
    const char *state_dir;         /* NULL = $STOCKADE_STATE_DIR, else the config's, else /var/lib/stockade for root and
                                      $XDG_STATE_HOME/stockade (~/.local/state/stockade) for others */
    const char *libexec_dir;       /* NULL = found relative to the plugin */
    rt_log_fn *log;                /* NULL = nothing is logged; see rt_log_fn */
    void *log_user;
    int32_t log_level; /* enum rt_log_level: what is below is not forwarded; -1 = the config's, else RT_LOG_WARN */
    uint32_t reserved;
} stockade_options;

#define STOCKADE_OPTIONS_INIT                                                                                          \
    {                                                                                                                  \
        sizeof(stockade_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, -1, 0                                      \
    }

/* An opened runtime: `sb->ops->create(sb->rt, ...)`. Any number may be open at once, also of one plugin. */
typedef struct stockade_runtime {
    const rt_ops *ops; /* as in stockade_plugin */
    rt_runtime *rt;
    const rt_plugin *plugin;
    const char *file;
    const char *state_dir;
} stockade_runtime;

/*
 * Picks, loads and opens a runtime. options may be NULL: all defaults.
 * Errors are those of stockade_config_load(), stockade_plugin_load() and rt_ops.open.
 */
STOCKADE_API int32_t stockade_open(const stockade_options *options, rt_call *call, stockade_runtime **ret);
/* Closes and unloads it (rt_ops.close). What its ops returned must have been freed. NULL is a no-op. */
STOCKADE_API void stockade_close(stockade_runtime *runtime);

/* The state directory that stockade_open() would use; the caller free(3)s it. Both arguments may be NULL. */
STOCKADE_API int32_t stockade_state_dir(const char *state_dir, const stockade_config *config, rt_error *err,
                                        char **ret);

/* ---- workspace rules ------------------------------------------------------------------------------------------- */

/* A growing list of rules for rt_sandbox_spec.rules or rules_update. */
typedef struct stockade_rules stockade_rules;

/* User rules have priority 0 unless they say otherwise; all rules of a preset lie in this range below. */
#define STOCKADE_PRESET_PRIORITY_MIN (-1000)
#define STOCKADE_PRESET_PRIORITY_MAX (-900)

STOCKADE_API int32_t stockade_rules_new(rt_error *err, stockade_rules **ret);
STOCKADE_API void stockade_rules_free(stockade_rules *rules); /* NULL is a no-op */
/* Adds a rule; pattern is copied. RT_E_INVAL for a type or permission that does not exist. */
STOCKADE_API int32_t stockade_rules_add(stockade_rules *rules, const char *pattern, int32_t type, int32_t permission,
                                        int32_t priority, rt_error *err);
/*
 * Adds a rule written as PATTERN=PERMISSION, to which `,priority=N` and `,type=TYPE` can be added. The last '=' before
 * these divides; PERMISSION is none, view, read or write. Without a TYPE (glob, directory, file) a pattern that ends in
 * '/' makes a directory rule, any other a glob. RT_E_INVAL quotes the text.
 */
STOCKADE_API int32_t stockade_rules_add_text(stockade_rules *rules, const char *text, rt_error *err);
/* Adds a preset's rules. RT_E_INVAL lists the presets that there are. */
STOCKADE_API int32_t stockade_rules_add_preset(stockade_rules *rules, const char *preset, rt_error *err);
/* Adds the config's `rules`; NULL adds nothing. */
STOCKADE_API int32_t stockade_rules_add_config(stockade_rules *rules, const stockade_config *config, rt_error *err);
/* The rules so far, valid until the next is added. */
STOCKADE_API const rt_rule *stockade_rules_items(const stockade_rules *rules, size_t *ret_n);

/* Name of the i-th preset, NULL past the last. */
STOCKADE_API const char *stockade_preset_name(size_t i);

/* ---- names ----------------------------------------------------------------------------------------------------- */

/* "timeout" for RT_E_TIMEOUT and so on; "unknown" for what is no rt_status. */
STOCKADE_API const char *stockade_status_name(int32_t status);
STOCKADE_API const char *stockade_permission_name(int32_t permission); /* "none", "view", "read", "write" */
STOCKADE_API const char *stockade_rule_type_name(int32_t type);        /* "glob", "directory", "file" */
STOCKADE_API const char *stockade_version(void);

#ifdef __cplusplus
}
#endif

#endif
