#include "clone_into.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>

/* libc has no function for clone3(2): with a stack of its own a child cannot return from one. */
#if defined(__x86_64__)

static long clone3_run(struct clone_args *args, int (*run)(void *arg), void *arg)
{
    long ret = SYS_clone3;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %[arg], %%rdi\n\t"
                     "call *%[run]\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n"
                     "1:"
                     : "+a"(ret)
                     : "D"(args), "S"(sizeof *args), [run] "r"(run), [arg] "r"(arg), [exit] "i"(SYS_exit)
                     : "rcx", "r11", "cc", "memory");
    return ret;
}

#elif defined(__aarch64__)

static long clone3_run(struct clone_args *args, int (*run)(void *arg), void *arg)
{
    register long number __asm__("x8") = SYS_clone3;
    register long ret __asm__("x0") = (long)(uintptr_t)args;
    register size_t size __asm__("x1") = sizeof *args;

    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, %[arg]\n\t"
                     "blr %[run]\n\t"
                     "mov x8, %[exit]\n\t"
                     "svc #0\n"
                     "1:"
                     : "+r"(ret), "+r"(number)
                     : "r"(size), [run] "r"(run), [arg] "r"(arg), [exit] "i"(SYS_exit)
                     : "cc", "memory");
    return ret;
}

#else

static long clone3_run(struct clone_args *args, int (*run)(void *arg), void *arg)
{
    (void)args;
    (void)run;
    (void)arg;
    return -ENOSYS;
}

#endif

pid_t clone_into(int cgroup_fd, int (*run)(void *arg), void *arg, void *stack, size_t size)
{
    struct clone_args args = { .flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP,
                               .exit_signal = SIGCHLD,
                               .stack = (uintptr_t)stack,
                               .stack_size = size,
                               .cgroup = (uint64_t)cgroup_fd };

    return (pid_t)clone3_run(&args, run, arg);
}
