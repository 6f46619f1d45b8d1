#include "children.h"

#include "proc_id.h"

#include <pthread.h>
#include <stdlib.h>

struct child {
    struct child *next;
    struct proc_id id;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows; taken last */
static struct child *children;

void children_add(pid_t pid)
{
    struct child *child = pid > 0 ? calloc(1, sizeof *child) : NULL;

    if (!child)
        return;
    child->id = (struct proc_id){ pid, proc_id_of(pid).start };
    pthread_mutex_lock(&lock);
    child->next = children;
    children = child;
    pthread_mutex_unlock(&lock);
}

void children_reap(void)
{
    pthread_mutex_lock(&lock);
    for (struct child **at = &children; *at;) {
        struct child *child = *at;

        if (child_reap(&child->id)) {
            *at = child->next;
            free(child);
        } else {
            at = &child->next;
        }
    }
    pthread_mutex_unlock(&lock);
}

/* At dlclose(). */
__attribute__((destructor)) static void children_forget(void)
{
    while (children) {
        struct child *child = children;

        children = child->next;
        free(child);
    }
}
