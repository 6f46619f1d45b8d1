#!/usr/bin/env bash
# The contract's lines against the backends: what the suites' results say of each.
#
#   table.sh DIR     DIR/COLUMN.tap are outputs of test binaries run with Criterion's --tap
#
# A test proves a part of the line that its name begins with: exec::X7_..., of the column whose file it is in. Columns
# that are not backends (units, permfs alone) serve every backend: name them common-*.tap.
#
#   pass          all of the line's tests that ran have passed
#   FAIL          one has not
#   not offered   all of them say why they cannot run there, or tests/conformance/lacks/COLUMN does
#   -             none of them was run
#
# Exit status 1 if anything failed, 2 if a line of docs/contract-lines has no test anywhere and docs/conformance.md
# gives no reason for that.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$1
shopt -s nullglob
files=("$dir"/*.tap)
if [ ${#files[@]} = 0 ]; then
    echo "no results in $dir"
    exit 0
fi

# Reasons are read from the table in docs/conformance.md: "| `D5` | why |".
awk -v lacks_dir=tests/conformance/lacks -v doc=docs/conformance.md '
function column_of(path) { sub(/.*\//, "", path); sub(/\.tap$/, "", path); return path }
function lacks_read(column,    file, line, parts, path) {
    file = lacks_dir "/" column
    while ((getline line < file) > 0)
        if (line !~ /^(#|$)/) {
            split(line, parts, " ")
            path = parts[1]
            sub(/^[^ ]+ /, "", line)
            lacked[column, path] = line
        }
    close(file)
}
function reasons_read(    line) {
    while ((getline line < doc) > 0)
        if (match(line, /^\| `[A-Z][0-9]+` \| /)) {
            id = substr(line, 4); sub(/`.*/, "", id)
            sub(/^\| `[A-Z][0-9]+` \| /, "", line); sub(/ *\|$/, "", line)
            reason[id] = line
        }
}
function better(line, column, state) { # FAIL over pass over not offered
    if (rank[state] > rank[results[line, column]]) results[line, column] = state
}
BEGIN {
    rank["FAIL"] = 3; rank["pass"] = 2; rank["not offered"] = 1
    reasons_read()
}
FNR == 1 && FILENAME ~ /\.tap$/ {
    column = column_of(FILENAME)
    if (column !~ /^common-/) { columns[++n_columns] = column; lacks_read(column) }
}
FILENAME !~ /\.tap$/ {
    if ($0 !~ /^(#|$)/) { lines[++n_lines] = $1; sub(/^[^ ]+ /, ""); title[lines[n_lines]] = $0 }
    next
}
/^(not )?ok / {
    state = /^not ok/ ? "FAIL" : "pass"
    sub(/^(not )?ok (- )?/, "")
    skipped = index($0, "# SKIP")
    name = $1
    # What a filter left out is "skipped" too, and says nothing.
    why = skipped ? substr($0, skipped + 7) : ""
    if (skipped) state = (why ~ /^test was skipped|is disabled/) ? "" : "not offered"
    path = name; sub(/::/, "/", path)
    if (state == "" && (column, path) in lacked) { state = "not offered"; why = lacked[column, path] }
    if (state == "" || !match(name, /::[A-Z]+[0-9]+_/)) next
    id = substr(name, RSTART + 2, RLENGTH - 3)
    tests[id]++
    if (state == "not offered") because[id, column] = why
    better(id, column ~ /^common-/ ? "common" : column, state)
    if (state == "FAIL") failed = 1
}
END {
    printf "%-5s", "line"
    for (c = 1; c <= n_columns; c++) printf " %-13s", columns[c]
    printf " what\n"
    for (l = 1; l <= n_lines; l++) {
        id = lines[l]
        printf "%-5s", id
        for (c = 1; c <= n_columns; c++) {
            state = results[id, columns[c]]
            if (rank[results[id, "common"]] > rank[state]) state = results[id, "common"]
            printf " %-13s", state == "" ? "-" : state
        }
        print " " title[id]
        for (c = 1; c <= n_columns; c++)
            if (results[id, columns[c]] == "not offered")
                notes[++n_notes] = id " on " columns[c] ": " because[id, columns[c]]
        if (!tests[id]) holes[++n_holes] = id
    }
    if (n_notes) print "\nNot offered:"
    for (n = 1; n <= n_notes; n++) print "  " notes[n]
    if (n_holes) print "\nWithout a result:"
    for (h = 1; h <= n_holes; h++) {
        id = holes[h]
        printf "  %s: %s\n", id, (id in reason) ? reason[id] : "no reason is given in " doc
        if (!(id in reason)) unexplained = 1
    }
    exit failed ? 1 : unexplained ? 2 : 0
}' docs/contract-lines "${files[@]}"
