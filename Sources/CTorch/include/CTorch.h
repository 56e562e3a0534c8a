int ct_being_built(void);
