/* A small filesystem of the state directory's own, for a test to fill. */
#ifndef STOCKADE_CONFORMANCE_DISK_H
#define STOCKADE_CONFORMANCE_DISK_H

#include <stdbool.h>

/* Opens the runtime anew on one; the test ends here without root. */
void disk_mount(void);
void disk_unmount(void);     /* closes the runtime */
const char *disk_path(void); /* where a test has mounted it, or NULL */

/* One thing of which an op finds n left, until it is let go of. */
struct shortage {
    const char *name;
    void (*begin)(int n);
    void (*end)(void);
    bool lasts; /* what is started under it goes on with it, until it is stopped */
};

extern const struct shortage shortage_pages, shortage_inodes; /* of the disk */

#endif
