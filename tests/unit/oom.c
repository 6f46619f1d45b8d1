/* Which records of the kernel's log tell of a process that was killed for want of memory. */
#include "oom.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

/* As kernels wrote them; the process looked for is 21593, which began at 1000 s. */
static struct log_case {
    char record[200];
    bool names;
} cases[] = {
    { "6,8,25357962957,-;Memory cgroup out of memory: Killed process 21593 (tail) total-vm:34124kB, anon-rss:0kB",
      true },
    { "3,8,25357962957,-;Out of memory: Killed process 21593 (tail) total-vm:34124kB, anon-rss:31232kB", true },
    { "3,8,1000000000,-,caller=T1;Memory cgroup out of memory: Killed process 21593 (x)\n SUBSYSTEM=y\n", true },
    { "3,8,25357962957,-;Memory cgroup out of memory: Killed process 2159 (3) total-vm:34124kB", false },
    { "3,8,25357962957,-;Memory cgroup out of memory: Killed process 215930 (tail) total-vm:34124kB", false },
    { "3,8,25357962957,-;Memory cgroup out of memory: Killed process 7 (: Killed process 21593 (a)", false },
    { "3,8,999999999,-;Memory cgroup out of memory: Killed process 21593 (of old) total-vm:34124kB", false },
    { "12,8,25357962957,-;Memory cgroup out of memory: Killed process 21593 (a program's line)", false },
    { "6,8,25357962957,-;tail invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", false },
    { "6,8,25357962957,-;", false },
    { "6,8,25357962957", false },
    { "", false },
};

ParameterizedTestParameters(oom, records_of_the_log)
{
    return cr_make_param_array(struct log_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct log_case *c, oom, records_of_the_log)
{
    cr_expect(oom_names(c->record, 21593, INT64_C(1000000000)) == c->names, "%s", c->record);
}
