int CImageCodecs_being_built(void);
