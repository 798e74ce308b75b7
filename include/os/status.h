/* How `beeftree status` asks a mount: one ioctl on any file or directory of it. The answer is a JSON text (docs/man:
 * beeftree(1)), so that counters can be added without a new ioctl; the number changes only with the shape of this
 * struct. */
#ifndef BEEFTREE_OS_STATUS_H
#define BEEFTREE_OS_STATUS_H

#include <linux/ioctl.h>

#define OS_STATUS_TEXT_SIZE 16000 /* bytes; an ioctl carries less than 16 KiB */
#define OS_STATUS_VERSION   1     /* of the JSON: the member "version" */

struct os_status {
    char text[OS_STATUS_TEXT_SIZE]; /* NUL-terminated */
};

#define OS_STATUS_IOCTL _IOR('b', 0xF5, struct os_status)

#endif
