/* A sandbox's specification: checked once at create, kept as JSON on disk, read back from there. */
#ifndef STOCKADE_SPEC_H
#define STOCKADE_SPEC_H

#include "runtime_api.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

/* As rt_sandbox_spec, with every default filled in. Strings point into the JSON that it was read from. */
struct spec {
    const char *id, *codebase, *codebase_id, *workspace, *image, *network, *user, *oci_runtime, *audit_file;
    const char **env;
    rt_label *labels;
    size_t n_labels;
    rt_rule *rules;
    size_t n_rules;
    rt_limits limits;
    int32_t lifetime, workspace_mode, commit_policy;
    uint32_t flags;
    int64_t timeout_ms, max_lifetime_ms, idle_timeout_ms;
};

#define SPEC_RULES_MAX 100000

/* Checks what can be checked without the backend (L1, L2, W4) and gives it as JSON, the codebase resolved. */
int32_t spec_to_json(const rt_sandbox_spec *spec, rt_error *err, cJSON **ret);
/* Reads it back; json must outlive ret. False if it is not what spec_to_json() writes. */
bool spec_from_json(const cJSON *json, struct spec *ret);
void spec_release(struct spec *spec);

/* Checks env entries: NAME=value with a name. what names them in the message. */
int32_t env_check(const char *const *env, const char *what, rt_error *err);

/*
 * Checks the rules as permfs will, so that create can give the index (W4). json may be NULL; otherwise the rules are
 * appended to that array.
 */
int32_t rules_to_json(const rt_rule *rules, size_t n, cJSON *json, rt_error *err);

/* "uid" or "uid:gid" in decimal; gid is uid's if it is not given. False if it is neither. */
bool user_parse(const char *user, uint32_t *ret_uid, uint32_t *ret_gid);

#endif
