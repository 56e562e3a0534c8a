#include "CImageCodecs.h"
int CImageCodecs_being_built(void) { return 1; }
