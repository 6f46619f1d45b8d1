/*
 * Named sets of workspace rules. A preset is a base rule, what is raised above it, what is guarded above both, and
 * above all what is hidden; the priorities keep these apart, so that no pattern's specificity can bring a secret back.
 */
#include "rules.h"

#include "error.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRIORITY_BASE    STOCKADE_PRESET_PRIORITY_MIN
#define PRIORITY_RAISED  (-950)
#define PRIORITY_GUARDED (-910)
#define PRIORITY_HIDDEN  STOCKADE_PRESET_PRIORITY_MAX

struct preset_rule {
    const char *pattern;
    int32_t permission;
};

#define PRESET_RULES_MAX 5

struct preset {
    const char *name;
    int32_t base; /* permission of everything */
    bool is_guarded, hides_secrets;
    bool hides_git;
    struct preset_rule raised[PRESET_RULES_MAX]; /* ended by a NULL pattern */
};

static const struct preset presets[] = {
    { "agent-safe", RT_PERM_READ, true, true, true, { { "/output/**", RT_PERM_WRITE }, { "/tmp/**", RT_PERM_WRITE } } },
    { "read-only", RT_PERM_READ, false, false, false, { { NULL, 0 } } },
    { "full-access", RT_PERM_WRITE, false, false, false, { { NULL, 0 } } },
    { "development", RT_PERM_WRITE, true, true, false, { { NULL, 0 } } },
    { "view-only", RT_PERM_VIEW, false, false, false, { { NULL, 0 } } },
};

/*
 * What the host may later execute, or what tells its tools what to execute, as soon as somebody works in the codebase
 * there: to be read, and neither written nor made. Names as those of secrets below; docs/config.md lists them too.
 */
static const char *const guarded[] = {
    ".git/hooks",
    ".git/config",
    ".git/config.worktree",
    ".git/commondir",
    ".git/worktrees",
    ".git/modules/**/hooks",
    ".git/modules/**/config",
    ".gitconfig",
    ".husky",
    ".pre-commit-config.yaml",
    ".vscode",
    ".idea",
    ".devcontainer",
    ".envrc",
    ".direnv",
    ".mise.toml",
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_logout",
    ".bash_aliases",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".zlogout",
    ".kshrc",
    ".cshrc",
    ".tcshrc",
    ".login",
    ".config/fish",
    ".cargo/config",
    ".cargo/config.toml",
    ".npmrc",
    ".pnpmfile.cjs",
    ".yarnrc",
    ".yarnrc.yml",
    ".yarn/plugins",
    ".yarn/releases",
    ".vimrc",
    ".exrc",
    ".nvimrc",
    ".nvim.lua",
    ".emacs",
    ".dir-locals.el",
    ".gdbinit",
    ".lldbinit",
};

/* A file or link of this name sends git to another directory, whose hooks and config it then obeys. */
#define GIT_FILE "**/.[gG][iI][tT]"

/*
 * Names that hold secrets, at every depth, in any mix of upper and lower case, with all below them if they are
 * directories. docs/config.md lists them for people.
 */
static const char *const secrets[] = {
    ".env",           ".env.*",
    "*.env",          ".envrc",
    "secrets",        "secrets.y*ml",
    "secrets.json",   "secrets.toml",
    "credentials*",   ".git-credentials",
    "*.key",          "*.pem",
    "*.p12",          "*.pfx",
    "*.ppk",          "*.jks",
    "*.keystore",     "*.kdb",
    "*.kdbx",         "id_rsa*",
    "id_dsa*",        "id_ecdsa*",
    "id_ed25519*",    ".ssh",
    ".gnupg",         ".aws",
    ".azure",         ".kube",
    ".netrc",         ".npmrc",
    ".pypirc",        ".pgpass",
    ".my.cnf",        ".htpasswd",
    ".vault-token",   ".docker/config.json",
    ".config/gcloud", "service-account*.json",
};

/*
 * The pattern for a name at every depth and all below it, each letter replaced by a set of both its cases. Patterns
 * are matched as bytes, and these files are also written as .ENV or Secrets. NULL if memory runs out.
 */
static char *name_pattern(const char *name)
{
    static const char before[] = "**/", after[] = "/**";
    char *pattern = malloc(sizeof before + 4 * strlen(name) + sizeof after), *at = pattern;

    if (!pattern)
        return NULL;
    at = stpcpy(at, before);
    for (; *name; name++) {
        if (isalpha((unsigned char)*name))
            at += snprintf(at, 5, "[%c%c]", tolower((unsigned char)*name), toupper((unsigned char)*name));
        else
            *at++ = *name;
    }
    stpcpy(at, after);
    return pattern;
}

static int32_t names_add(stockade_rules *rules, const char *const *names, size_t n, int32_t permission,
                         int32_t priority, rt_error *err)
{
    int32_t status = RT_OK;

    for (size_t i = 0; !status && i < n; i++)
        status = host_rules_take(rules, name_pattern(names[i]), RT_RULE_GLOB, permission, priority, err);
    return status;
}

static int32_t preset_add(stockade_rules *rules, const struct preset *preset, rt_error *err)
{
    static const char *const git[] = { ".git" };
    int32_t status = stockade_rules_add(rules, "**", RT_RULE_GLOB, preset->base, PRIORITY_BASE, err);

    for (const struct preset_rule *rule = preset->raised; !status && rule->pattern; rule++)
        status = stockade_rules_add(rules, rule->pattern, RT_RULE_GLOB, rule->permission, PRIORITY_RAISED, err);
    if (!status && preset->is_guarded)
        status = stockade_rules_add(rules, GIT_FILE, RT_RULE_FILE, RT_PERM_READ, PRIORITY_GUARDED, err);
    if (!status && preset->is_guarded)
        status = names_add(rules, guarded, sizeof guarded / sizeof *guarded, RT_PERM_READ, PRIORITY_GUARDED, err);
    if (!status && preset->hides_secrets)
        status = names_add(rules, secrets, sizeof secrets / sizeof *secrets, RT_PERM_NONE, PRIORITY_HIDDEN, err);
    if (!status && preset->hides_git)
        status = names_add(rules, git, 1, RT_PERM_NONE, PRIORITY_HIDDEN, err);
    return status;
}

static int32_t fail_unknown(const char *name, rt_error *err)
{
    char names[160] = "";

    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        size_t at = strlen(names);

        snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", presets[i].name);
    }
    return host_fail(err, RT_E_INVAL, 0, "no preset '%s'; there are %s", name, names);
}

int32_t stockade_rules_add_preset(stockade_rules *rules, const char *name, rt_error *err)
{
    host_error_clear(err);
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (!strcmp(presets[i].name, name))
            return preset_add(rules, &presets[i], err);
    return fail_unknown(name, err);
}

const char *stockade_preset_name(size_t i)
{
    return i < sizeof presets / sizeof *presets ? presets[i].name : NULL;
}
