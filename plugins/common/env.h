/* A command's environment: exactly the default, then the sandbox's, then the request's (X5). */
#ifndef STOCKADE_ENV_H
#define STOCKADE_ENV_H

/*
 * Merges; later wins, and a name keeps the place where it first stood. The array is the caller's to free, the strings
 * stay borrowed. sandbox and request may be NULL. NULL if memory runs out.
 */
const char **env_merge(const char *const *sandbox, const char *const *request);

#endif
