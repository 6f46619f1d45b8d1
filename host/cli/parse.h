/* Numbers as people write them on a command line. Each returns false for anything malformed or out of range. */
#ifndef STOCKADE_CLI_PARSE_H
#define STOCKADE_CLI_PARSE_H

#include <stdbool.h>
#include <stdint.h>

bool parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
bool parse_bytes(const char *text, uint64_t *ret);       /* 1048576, 512k, 512m, 2g, 1t: powers of 1024; at least 1 */
bool parse_cpus(const char *text, uint32_t *ret_millis); /* 2, 1.5, 0.25: thousandths of a CPU, at least one */
bool parse_duration(const char *text, int64_t *ret_ms);  /* 500ms, 10s, 5m, 1h, "none" = RT_FOREVER; at least 1 ms */

#endif
