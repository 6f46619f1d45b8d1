/*
 * What the runner was told, handed to the tests by environment variables: each test runs in a process of its own
 * that shares nothing else with main().
 */
#ifndef STOCKADE_CONFORMANCE_OPTIONS_H
#define STOCKADE_CONFORMANCE_OPTIONS_H

#define OPTION_PLUGIN  "STOCKADE_TEST_PLUGIN"  /* path of the plugin */
#define OPTION_CONFIG  "STOCKADE_TEST_CONFIG"  /* its config; unset = {} */
#define OPTION_IMAGE   "STOCKADE_TEST_IMAGE"   /* image of every sandbox; unset = the runtime's default */
#define OPTION_LIBEXEC "STOCKADE_TEST_LIBEXEC" /* directory of permfs and agent; unset = the plugin finds it */
#define OPTION_PROBE   "STOCKADE_TEST_PROBE"   /* path of the probe */
#define OPTION_OWNER   "STOCKADE_TEST_OWNER"   /* uid of the codebases; unset = the runner's */
#define OPTION_LACKS   "STOCKADE_TEST_LACKS"   /* file of what the plugin does not offer; unset = nothing */
#define OPTION_LOG     "STOCKADE_TEST_LOG"     /* set = the plugin's log goes to stderr */
#define OPTION_DIR     "STOCKADE_TEST_DIR"     /* directory of the whole run */

#endif
