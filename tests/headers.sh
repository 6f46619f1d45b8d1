#!/usr/bin/env bash
# The public headers compile alone, as C11 and as C++17, with gcc and, where there is one, clang.
set -euo pipefail
cd "$(dirname "$0")/.."

for header in runtime_api.h host/stockade.h; do
    for cc in gcc clang; do
        command -v "$cc" >/dev/null || continue
        "$cc" -std=c11 -Wall -Wextra -pedantic -Werror -I. -fsyntax-only -x c "$header"
        "$cc" -std=c++17 -Wall -Wextra -pedantic -Werror -I. -fsyntax-only -x c++ "$header"
    done
done
