#include "elf_check.h"

#include "error.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More program headers than any linker makes. */
#define PROGRAM_HEADERS_MAX 512

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

static bool bytes_read(int fd, void *data, size_t len, uint64_t at)
{
    ssize_t n;

    do
        n = pread(fd, data, len, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n >= 0 && (size_t)n == len;
}

/* The machine of this very program: what it maps at its own start. */
static uint16_t native_machine(void)
{
    extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

    return __ehdr_start.e_machine;
}

static int32_t header_check(const ElfW(Ehdr) * header, rt_error *err)
{
    int native_class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;

    if (memcmp(header->e_ident, ELFMAG, SELFMAG))
        return host_fail(err, RT_E_UNAVAILABLE, 0, "not an ELF file");
    if (header->e_ident[EI_CLASS] != native_class || header->e_ident[EI_DATA] != NATIVE_DATA ||
        header->e_machine != native_machine())
        return host_fail(err, RT_E_UNAVAILABLE, 0, "made for another machine");
    if (header->e_type != ET_DYN)
        return host_fail(err, RT_E_UNAVAILABLE, 0, "not a shared object");
    if (header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum == 0 || header->e_phnum > PROGRAM_HEADERS_MAX)
        return host_fail(err, RT_E_UNAVAILABLE, 0, "malformed ELF header");
    return RT_OK;
}

static int32_t segments_check(int fd, const ElfW(Ehdr) * header, uint64_t file_size, rt_error *err)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        ElfW(Phdr) segment;

        if (!bytes_read(fd, &segment, sizeof segment, header->e_phoff + i * sizeof segment))
            return host_fail(err, RT_E_UNAVAILABLE, 0, "truncated ELF file: its program headers are cut off");
        if (segment.p_filesz && (segment.p_offset > file_size || segment.p_filesz > file_size - segment.p_offset))
            return host_fail(err, RT_E_UNAVAILABLE, 0, "truncated ELF file: %llu bytes, a segment needs %llu",
                             (unsigned long long)file_size,
                             (unsigned long long)segment.p_offset + (unsigned long long)segment.p_filesz);
    }
    return RT_OK;
}

static int32_t fd_check(int fd, rt_error *err)
{
    ElfW(Ehdr) header;
    struct stat st;
    int32_t status;

    if (fstat(fd, &st) < 0)
        return host_fail(err, RT_E_UNAVAILABLE, errno, "stat");
    if (!S_ISREG(st.st_mode))
        return host_fail(err, RT_E_UNAVAILABLE, 0, "not a regular file");
    memset(&header, 0, sizeof header);
    if (!bytes_read(fd, &header, sizeof header, 0)) {
        bool is_elf = bytes_read(fd, &header, SELFMAG, 0) && !memcmp(header.e_ident, ELFMAG, SELFMAG);

        return host_fail(err, RT_E_UNAVAILABLE, 0,
                         is_elf ? "truncated ELF file: its header is cut off" : "not an ELF file");
    }
    status = header_check(&header, err);
    return status ? status : segments_check(fd, &header, (uint64_t)st.st_size, err);
}

int32_t host_elf_check(const char *file, rt_error *err)
{
    /* O_NONBLOCK: a fifo of that name must not hang the host. */
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int32_t status;

    if (fd < 0)
        return host_fail(err, RT_E_UNAVAILABLE, errno, "cannot be opened");
    status = fd_check(fd, err);
    (void)close(fd);
    return status;
}
