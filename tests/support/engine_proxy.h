/* A proxy in front of an Engine: it passes requests on, or has them fail in one of the ways that an Engine can. */
#ifndef STOCKADE_TEST_ENGINE_PROXY_H
#define STOCKADE_TEST_ENGINE_PROXY_H

struct engine_proxy;

enum proxy_fault {
    PROXY_REFUSE, /* the answer is 500, and the Engine never hears of it */
    PROXY_SPOIL,  /* the Engine does it, and the answer is 500 */
    PROXY_CUT,    /* the connection ends, and the Engine never hears of it */
    PROXY_LOSE,   /* the Engine does it, and the connection ends before its answer comes */
    PROXY_HANG,   /* there is no answer, and the Engine never hears of it */
    PROXY_STALL,  /* the Engine does it, and there is no answer */
    PROXY_FAULTS
};
#define PROXY_WORDS "the proxy is out of luck" /* of a 500 */

/* engine is unix:///... */
struct engine_proxy *engine_proxy_start(const char *engine);
const char *engine_proxy_address(const struct engine_proxy *proxy); /* unix:///... */
/* From now on request number `first` (0 = the next one), and each `every`-th after it (0 = no other), meets the fault.
 */
void engine_proxy_plan(struct engine_proxy *proxy, enum proxy_fault fault, unsigned first, unsigned every);
/* From now on the first `times` requests whose path ends so meet the fault. path outlives the plan. */
void engine_proxy_plan_path(struct engine_proxy *proxy, enum proxy_fault fault, const char *path, unsigned times);
/* Readable once a request has met the fault, and the Engine has done its part: for who would wait for the answer. */
int engine_proxy_met_fd(const struct engine_proxy *proxy);
/* No faults any more. Returns how many requests met one since the plan was made. */
unsigned engine_proxy_relent(struct engine_proxy *proxy);
/* No call may be in flight. */
void engine_proxy_stop(struct engine_proxy *proxy);

#endif
