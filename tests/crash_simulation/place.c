/* See place.h. */
#include "place.h"

#include "base/assert.h"
#include "threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "crash: %s: %s\n", what, why);
    exit(1);
}

void place_make_empty(struct place *place, uint32_t page_size, uint64_t log_size)
{
    const struct fs_format_options format = {
        .page_size = page_size, .log_size = log_size, .root_mode = 0755, .label = "crash"};
    const struct fs_options options = {.cache_size = 1};
    struct base_reason reason = {""};
    struct fs_attributes root;
    struct sim_disk disk;
    struct fs *fs = NULL;

    simulation_reset_environment(1);
    sim_image_init(&place->image, false);
    sim_disk_init(&disk, &place->image, false);
    if (fs_format(&disk.file, &format, &reason) || fs_open(&disk.file, &options, &fs, &reason)) {
        give_up("making a filesystem", reason.text);
    }
    int error = fs_get_attributes(fs, FS_ROOT_INODE, &root);
    if (!error) {
        error = fs_close(fs);
    }
    if (error) {
        give_up("making a filesystem", strerror(-error));
    }
    place->model = model_fs_create(&root);
    sim_disk_deinit(&disk);
    place->image.is_hashed = false;
}

void place_take(struct place *place, const struct session *session)
{
    sim_image_init_copy(&place->image, &session->image, true);
    place->model = model_fs_clone(session->actors[0].model);
    model_fs_restart(place->model);
}

void place_make_tree(struct place *place, uint64_t log_size)
{
    static const struct operation operations[] = {
        {OPERATION_MAKE, "d", NULL, 0, 0, S_IFDIR | 0755},
        {OPERATION_MAKE, "e", NULL, 0, 0, S_IFDIR | 0755},
        {OPERATION_MAKE, "d/f", NULL, 0, 0, S_IFREG | 0644},
        {OPERATION_WRITE, "d/f", NULL, 0, 100, 0},
        {OPERATION_MAKE, "g", NULL, 0, 0, S_IFREG | 0600},
        {OPERATION_WRITE, "g", NULL, 0, 12388, 0},
        {OPERATION_MAKE, "h", NULL, 0, 0, S_IFREG | 04755},
        {OPERATION_WRITE, "h", NULL, 0, 140000, 0},
        {OPERATION_MAKE, "s", NULL, 0, 0, S_IFREG | 0644},
        {OPERATION_WRITE, "s", NULL, 0, 3800, 0},
        {OPERATION_MAKE, "l", "where it leads", 0, 0, S_IFLNK | 0777},
        {OPERATION_SYNC, NULL, NULL, 0, 0, 0},
    };
    struct base_reason reason = {""};
    struct session session;
    struct place empty;

    place_make_empty(&empty, STORE_PAGE_SIZE_MIN, log_size);
    session_init(&session, &empty.image, empty.model);
    if (session_open(&session, &reason)) {
        give_up("opening the first time", reason.text);
    }
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (session_perform(&session, 0, &operations[i], &reason) != OUTCOME_CHANGED) {
            give_up("making the first tree", reason.text);
        }
    }
    if (!session_close(&session, &reason)) {
        give_up("unmounting the first tree", reason.text);
    }
    place_take(place, &session);
    session_deinit(&session);
    place_deinit(&empty);
}

void place_deinit(struct place *place)
{
    sim_image_deinit(&place->image);
    model_fs_destroy(place->model);
}
