/* Sweeping up behind tests that were killed. */
#ifndef STOCKADE_CONFORMANCE_SWEEP_H
#define STOCKADE_CONFORMANCE_SWEEP_H

/*
 * Ends what is left of tests below the run's directory, says what that is, and removes the directory. The plugin is
 * opened on each state directory there: it alone knows what belongs to a sandbox. Returns how much was found.
 */
int dir_sweep(const char *dir);

#endif
