/* Snapshots for the host: one allocation each, freed by the ..._free ops. */
#ifndef STOCKADE_INFO_H
#define STOCKADE_INFO_H

#include "record.h"

int32_t info_from_record(struct op *op, const struct record *record, rt_sandbox_info **ret);
/* Takes the infos over; the array stays the caller's. Sorts them. */
int32_t list_from_infos(struct op *op, rt_sandbox_info **infos, size_t n, rt_sandbox_list **ret);

void info_free(rt_sandbox_info *info);
void list_free(rt_sandbox_list *list);

/* What a probe finds, collected; a failed check makes it unusable. */
struct probe_list;
struct probe_list *probe_list_new(void);
void probe_list_version(struct probe_list *list, const char *version);
/* Texts are copied. Running out of memory is reported by probe_list_finish(). */
void probe_list_add(struct probe_list *list, int32_t result, const char *name, const char *detail, const char *remedy);
int32_t probe_list_finish(struct op *op, struct probe_list *list, rt_probe **ret); /* frees list */
void probe_free(rt_probe *probe);

/* What every backend needs: /dev/fuse, and the helper programs in libexec. */
void probe_fuse(struct probe_list *list);
void probe_helpers(const struct runtime *rt, struct probe_list *list);

#endif
