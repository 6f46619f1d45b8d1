#include "proc_tree.h"

#include "util.h"

#include <dirent.h>

struct proc_list {
    struct proc_entry *items;
    size_t n, cap;
};

static bool list_append(struct proc_list *list, const struct proc_entry *entry)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 64;
        struct proc_entry *bigger = realloc(list->items, cap * sizeof *bigger);

        if (!bigger)
            return false;
        list->items = bigger;
        list->cap = cap;
    }
    list->items[list->n++] = *entry;
    return true;
}

/* Every process that this one can see. */
static int all_read(struct proc_list *ret)
{
    DIR *dir = opendir("/proc");
    struct dirent *name;
    int err = 0;

    if (!dir)
        return -errno;
    while (!err && (name = readdir(dir))) {
        struct proc_entry entry = { .pid = (pid_t)strtol(name->d_name, NULL, 10) };

        if (entry.pid > 0 && proc_stat_read(entry.pid, &entry.stat) && !list_append(ret, &entry))
            err = -ENOMEM;
    }
    closedir(dir);
    return err;
}

static bool children_append(struct proc_list *tree, const struct proc_list *all, pid_t parent)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->items[i].stat.parent == parent && !list_append(tree, &all->items[i]))
            return false;
    return true;
}

int proc_tree_read(pid_t init, struct proc_entry **ret, size_t *ret_n)
{
    struct proc_list all = { 0 }, tree = { 0 };
    struct proc_entry top = { .pid = init };
    int err = all_read(&all);

    if (!err && proc_stat_read(init, &top.stat) && !list_append(&tree, &top))
        err = -ENOMEM;
    for (size_t i = 0; !err && i < tree.n; i++)
        if (!children_append(&tree, &all, tree.items[i].pid))
            err = -ENOMEM;
    free(all.items);
    if (err) {
        free(tree.items);
        return err;
    }
    *ret = tree.items;
    *ret_n = tree.n;
    return 0;
}
