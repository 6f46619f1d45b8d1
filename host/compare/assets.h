/* Files of the source tree that the command carries within itself; each ended by a NUL. */
#ifndef STOCKADE_COMPARE_ASSETS_H
#define STOCKADE_COMPARE_ASSETS_H

extern const char asset_charts[]; /* vendor/charts/charts.min.js */
extern const char asset_style[];  /* host/compare/report.css */

#endif
