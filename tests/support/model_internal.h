/* What the files of the model share. */
#ifndef BEEFTREE_TESTS_SUPPORT_MODEL_INTERNAL_H
#define BEEFTREE_TESTS_SUPPORT_MODEL_INTERNAL_H

#include "support/model_fs.h"

/* realloc that can't fail. */
void *model_allocate(void *old, size_t size);

/* Contents (model_contents.c): sets the size too. */
void model_contents_truncate(struct model_node *node, uint64_t size);
/* Makes the clone's contents (a plain copy of the struct) its own. */
void model_contents_share(struct model_node *clone, const struct model_node *from);

/* Extended attributes (model_xattr.c): as the two above. */
void model_xattrs_free(struct model_node *node);
void model_xattrs_copy(struct model_node *clone, const struct model_node *from);

/* Writes and truncates by this caller clear set-id bits. */
void model_clear_set_id(struct model_node *node, const struct fs_caller *caller);

#endif
