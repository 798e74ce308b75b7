/* See base/tooth.h. */
#include "base/tooth.h"

#ifdef BEEFTREE_TEETH
enum base_tooth base_tooth_active = BASE_TOOTH_NONE;
#else
_Static_assert(BASE_TOOTH_COUNT > BASE_TOOTH_NONE, "a file needs a declaration");
#endif
