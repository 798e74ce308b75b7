/* INIT: what is asked of the kernel, and why. PARALLEL_DIROPS and HANDLE_KILLPRIV_V2 are added by wire.c, because
 * libfuse 3.14 does not pass them on. */
#include "internal.h"

static void want(struct fuse_conn_info *connection, unsigned capability, bool on)
{
    if (on) {
        connection->want |= connection->capable & capability;
    } else {
        connection->want &= ~capability;
    }
}

void front_init(void *context, struct fuse_conn_info *connection)
{
    const struct front *front = context;
    bool has_acls = front->options->has_acls && !front->options->no_xattrs;

    /* With OPEN answered ENOSYS the kernel would drop O_TRUNC; without this it sends a SETATTR. */
    want(connection, FUSE_CAP_ATOMIC_O_TRUNC, false);
    /* We are the only writer: cached data stays valid, so no GETATTR before reads and no pages dropped after a write.
     */
    want(connection, FUSE_CAP_AUTO_INVAL_DATA, false);
    want(connection, FUSE_CAP_EXPLICIT_INVAL_DATA, true);
    /* Always with attributes: cached listings never fill in the entries later. */
    want(connection, FUSE_CAP_READDIRPLUS, true);
    want(connection, FUSE_CAP_READDIRPLUS_AUTO, false);
    want(connection, FUSE_CAP_CACHE_SYMLINKS, true);
    /* Reorders contents behind names, which the promise of a prefix (docs/design.md) does not allow. */
    want(connection, FUSE_CAP_WRITEBACK_CACHE, false);
    want(connection, FUSE_CAP_ASYNC_READ, true);
    /* Behind an asynchronous direct write the kernel does not drop the pages that a read has brought in meanwhile: they
     * would stay, and be wrong. */
    want(connection, FUSE_CAP_ASYNC_DIO, false);
    /* Locks stay the kernel's: without OPEN there is no RELEASE that could let them go. */
    want(connection, FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS, false);
    /* File handles (NFS, open_by_handle_at) outlive the kernel's memory of an inode: it then looks up "." of a number.
     */
    want(connection, FUSE_CAP_EXPORT_SUPPORT, true);
    /* A default ACL takes the umask's place, so the umask is left to us with ACLs. */
    want(connection, FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK, has_acls);
#ifdef FUSE_CAP_SETXATTR_EXT
    want(connection, FUSE_CAP_SETXATTR_EXT, false); /* wire.c's */
#endif
    connection->max_write = FRONT_BUFFER_SIZE;
    connection->max_background = 2 * FRONT_THREADS_MAX; /* signals.c relies on more than there are threads */
    connection->congestion_threshold = FRONT_THREADS_MAX;
    connection->time_gran = 1;
}

const struct fuse_lowlevel_ops front_operations = {
    .init = front_init,
    .lookup = front_lookup,
    .forget = front_forget,
    .forget_multi = front_forget_multi,
    .getattr = front_getattr,
    .setattr = front_setattr,
    .getxattr = front_getxattr,
    .setxattr = front_setxattr,
    .listxattr = front_listxattr,
    .removexattr = front_removexattr,
    .readlink = front_readlink,
    .mknod = front_mknod,
    .mkdir = front_mkdir,
    .unlink = front_unlink,
    .rmdir = front_rmdir,
    .symlink = front_symlink,
    .rename = front_rename,
    .link = front_link,
    .open = front_open,
    .read = front_read,
    .write = front_write,
    .flush = front_flush,
    .fsync = front_fsync,
    .fallocate = front_fallocate,
    .lseek = front_lseek,
    .copy_file_range = front_copy_file_range,
    .opendir = front_opendir,
    .readdir = front_readdir,
    .readdirplus = front_readdirplus,
    .releasedir = front_releasedir,
    .fsyncdir = front_fsync,
    .statfs = front_statfs,
    .create = front_create,
    .ioctl = front_ioctl,
};
