int CSentencePiece_being_built(void);
