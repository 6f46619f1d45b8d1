#include "disk.h"

#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define DISK_OPTIONS "size=1m,nr_inodes=400,mode=0700"
#define PAGE         4096

static char disk[4096];

void disk_mount(void)
{
    if (geteuid() != 0)
        cr_skip_test("mounting takes root");
    snprintf(disk, sizeof disk, "%s/disk", fx.dir);
    HOST_MUST(mkdir(disk, 0700) == 0 && mount("disk", disk, "tmpfs", MS_NOSUID | MS_NODEV, DISK_OPTIONS) == 0);
    fixture_close();
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, disk, NULL, CALL, &fx.rt));
}

void disk_unmount(void)
{
    fixture_close();
    HOST_MUST(umount(disk) == 0 && rmdir(disk) == 0);
    disk[0] = '\0';
}

const char *disk_path(void)
{
    return disk[0] ? disk : NULL;
}

static char *filler_path(int i)
{
    static char path[4200];

    snprintf(path, sizeof path, "%s/filler-%d", disk, i);
    return path;
}

/* All pages but n. */
static void pages_begin(int n)
{
    static const char page[PAGE];
    int fd = open(filler_path(0), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    off_t size = 0;

    HOST_MUST(fd >= 0);
    while (write(fd, page, sizeof page) == sizeof page)
        size += PAGE;
    cr_assert(errno == ENOSPC, "%lld bytes: %s", (long long)size, strerror(errno));
    HOST_MUST(ftruncate(fd, size > n * PAGE ? size - n * PAGE : 0) == 0);
    close(fd);
}

static void pages_end(void)
{
    HOST_MUST(unlink(filler_path(0)) == 0);
}

static int n_fillers; /* empty files */

/* All inodes but n. */
static void inodes_begin(int n)
{
    for (n_fillers = 0; mknod(filler_path(n_fillers), S_IFREG | 0600, 0) == 0;)
        n_fillers++;
    HOST_MUST(errno == ENOSPC && n_fillers > n);
    while (n-- > 0)
        HOST_MUST(unlink(filler_path(--n_fillers)) == 0);
}

static void inodes_end(void)
{
    while (n_fillers > 0)
        HOST_MUST(unlink(filler_path(--n_fillers)) == 0);
}

const struct shortage shortage_pages = { .name = "pages", .begin = pages_begin, .end = pages_end };
const struct shortage shortage_inodes = { .name = "inodes", .begin = inodes_begin, .end = inodes_end };
