#include "assets.h"

/* The assembler reads them, from the directory that make runs in. The Makefile knows what this depends on. */
#define ASSET(symbol, file)                                                                                            \
    __asm__(".section .rodata\n.hidden " #symbol "\n.global " #symbol "\n" #symbol ":\n.incbin \"" file                \
            "\"\n.byte 0\n.previous\n")

ASSET(asset_charts, "vendor/charts/charts.min.js");
ASSET(asset_style, "host/compare/report.css");
