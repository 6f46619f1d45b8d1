/* At open: ending and cleaning what earlier processes left (contract R1 to R3). See docs/state.md. */
#ifndef STOCKADE_SWEEP_H
#define STOCKADE_SWEEP_H

#include "op.h"

/*
 * Looks at every sandbox's directory: `host` sandboxes whose owner has died go, what is left of dead ones is ended and
 * unmounted, what is no sandbox's record is set aside. Then the backend looks for what lies elsewhere. What is running
 * as it should, locked by another process, or of a later version, is let be. Never fails: what cannot be cleaned is
 * logged, and is there for the next open.
 */
void sweep_all(struct op *op);

#endif
