#!/usr/bin/env bash
# check_fs.sh [short | PATTERN]: what others judge filesystems with, on a workspace where everything is writable: random
# operations beside an oracle (fsx), fio's verification, stress-ng's filesystem stressors, git, a build of this
# project, a Python virtual environment; with the fast paths on and off, as root and as an ordinary user; and fsx on a
# copy-on-write workspace, whose commits have to make of the codebase what the oracle is. short takes some twenty seconds
# and needs nothing installed: fsx and git. A PATTERN is of the names of the judges to run. FSX_SEED replays a run of
# fsx.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
short=
pattern='*'
case ${1:-} in
short) short=1 ;;
?*) pattern=$1 ;;
esac
export TMPDIR=$work

# packages PROGRAM PACKAGE ...: installs those whose program is not there.
packages() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || [ -e "$1" ] || missing+=("$2")
        shift 2
    done
    "$top/tests/install.sh" "${missing[@]}"
}

# judged NAME COMMAND...: in a directory of its own, which is put for DIR, as $who; a judge that hangs ends there.
judges=0
judged() {
    local name=$1 dir
    shift
    # shellcheck disable=SC2053 # it is a pattern
    [[ $name == $pattern ]] || return 0
    judges=$((judges + 1))
    dir=$home/judged$judges
    "${who[@]}" mkdir "$dir"
    check "$name" "${who[@]}" timeout 900 "${@/#DIR/$dir}"
    "${root[@]}" rm -rf "$dir"
}

# judge NAME FLAGS JUDGE ARGS...: in a workspace of its own.
judge() {
    local name=$1 flags=$2 script=$3
    shift 3
    # shellcheck disable=SC2086 # flags are words
    judged "$name" "$STOCKADE_BUILD/tests/workspace" $flags DIR "$STOCKADE_BUILD/tests/judges/$script.sh" "$@"
}

# commits NAME SECONDS KEY=VALUE...: fsx on a delta, and commits of it.
commits() {
    local name=$1 seconds=$2
    shift 2
    judged "$name" "$STOCKADE_BUILD/tests/judges/commits.sh" DIR "$seconds" "$seed" "$@"
}

as() {
    if [ "$1" = root ]; then
        home=$work
        who=("${root[@]}" env STOCKADE_BUILD="$STOCKADE_BUILD" TMPDIR="$work")
    else
        home=$work/user
        who=("${root[@]}" env -i PATH="$PATH" TMPDIR="$home" HOME="$home" STOCKADE_BUILD="$STOCKADE_BUILD"
            setpriv --reuid stockade-test --regid stockade-test --clear-groups)
    fi
}

seed=${FSX_SEED:-$(date +%s)}
off='--no-passthrough --no-watch --no-epoch'

judged_short() {
    as root
    judge "fsx" "" fsx 2 "$seed"
    judge "fsx, each fast path off" "$off" fsx 2 "$seed"
    judge "git, 40 files" "" git 40
    commits "fsx and commits" 2
    as user
    judge "fsx as an ordinary user" "" fsx 2 "$seed"
    commits "fsx and commits as an ordinary user" 1
}

# all_judges WHAT FLAGS
all_judges() {
    judge "fsx$1" "$2" fsx 40 "$seed"
    judge "git, 4000 files$1" "$2" git 4000
    judge "this project's build$1" "$2" build "$work/sources.tar"
    judge "a Python virtual environment$1" "$2" venv
    judge "fio$1" "$2" fio
    judge "stress-ng$1" "$2" stress 1
}

judged_full() {
    as root
    commits "fsx and commits" 40
    commits "fsx and commits, each fast path off" 40 passthrough=false watch=false epochs=false
    all_judges "" ""
    all_judges ", passthrough off" "--no-passthrough"
    all_judges ", watch off" "--no-watch"
    all_judges ", each fast path off" "$off"
    as user
    commits "fsx and commits as an ordinary user" 40
    all_judges " as an ordinary user" ""
    all_judges " as an ordinary user, watch off" "--no-watch"
}

if [ -z "${STOCKADE_BUILD:-}" ]; then
    make --no-print-directory -j"$(nproc)" programs judges
    stage build
fi
"${root[@]}" true 2>/dev/null || {
    echo "check_fs.sh: takes root, or sudo" >&2
    exit 1
}
ordinary_user
cp -r tests/judges "$STOCKADE_BUILD/tests/"
if [ -n "$short" ]; then
    judged_short
else
    packages fio fio stress-ng stress-ng git git /usr/bin/python3 python3
    tar --exclude=./build --exclude=./.git -cf "$work/sources.tar" .
    judged_full
fi
totals || {
    echo "FSX_SEED=$seed makes fsx do the same again"
    exit 1
}
