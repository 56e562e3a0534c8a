#include "CTorch.h"
int ct_being_built(void) { return 1; }
