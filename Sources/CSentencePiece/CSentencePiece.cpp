#include "CSentencePiece.h"
int CSentencePiece_being_built(void) { return 1; }
