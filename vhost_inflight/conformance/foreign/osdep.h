/* What contrib/vhost-user-blk takes from QEMU's header of this name, which would need a configured QEMU. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
