/* The libfuse session: made with our options, mounted, served by several threads, taken down. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int front_session_create(struct front *front, struct front_failure *failure)
{
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
    const struct front_options *options = front->options;
    char message[400];
    bool is_complete = fuse_opt_add_arg(&arguments, "beeftreefs") == 0 && fuse_opt_add_arg(&arguments, "-o") == 0 &&
                       fuse_opt_add_arg(&arguments, options->mount_options) == 0 &&
                       (!options->debug || fuse_opt_add_arg(&arguments, "-d") == 0);

    front_log_capture_begin();
    if (is_complete) {
        front->session = fuse_session_new(&arguments, &front_operations, sizeof front_operations, front);
    }
    front_log_capture_end(message, sizeof message);
    fuse_opt_free_args(&arguments);
    if (!front->session) {
        front_failure_set(failure, FRONT_EXIT_MOUNT, "%s: cannot start a session: %s", options->mount_point,
                          message[0] ? message : "out of memory");
        return -EIO;
    }
    return 0;
}

int front_session_mount(struct front *front, struct front_failure *failure)
{
    char message[400];

    front_log_capture_begin();
    int result = fuse_session_mount(front->session, front->options->mount_point);
    if (result == 0) {
        result = fuse_session_custom_io(front->session, &front_wire_io, fuse_session_fd(front->session));
        if (result < 0) {
            fuse_session_unmount(front->session);
        }
    }
    front_log_capture_end(message, sizeof message);
    if (result != 0) {
        front_failure_set(failure, FRONT_EXIT_MOUNT, "%s: cannot mount: %s", front->options->mount_point,
                          message[0] ? message : "the kernel refused");
        return -EIO;
    }
    return 0;
}

int front_session_serve(struct front *front)
{
    if (front->options->single_threaded) {
        int result = fuse_session_loop(front->session);
        return result < 0 ? result : 0;
    }
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (!config) {
        return -ENOMEM;
    }
    /* Idle threads stay (the default): ending and starting them would cost every request two or three times as much. */
    fuse_loop_cfg_set_max_threads(config, front->options->threads_max);
    fuse_loop_cfg_set_clone_fd(config, 1);
    int result = fuse_session_loop_mt(front->session, config);
    fuse_loop_cfg_destroy(config);
    return result < 0 ? result : 0;
}

void front_session_destroy(struct front *front)
{
    fuse_session_unmount(front->session);
    fuse_session_destroy(front->session);
    front->session = NULL;
}
