#!/usr/bin/env bash
# git.sh FILES: a repository of so many files is made in the plain directory and cloned into the workspace, where
# checkouts, diffs, status, merges, gc and fsck have to tell what they tell on a plain clone. Run by workspace.
set -euo pipefail
files=$1

export HOME=$PLAIN GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
git config --global user.email judge@example.org
git config --global user.name judge
git config --global init.defaultBranch main
git config --global protocol.file.allow always
git config --global safe.directory '*'

# The same content for the same number of files, always.
generate() {
    awk -v files="$files" 'BEGIN {
        for (i = 0; i < files; i++) {
            path = sprintf("d%d/s%d/f%d.c", i % 17, i % 5, i)
            dir = path; sub(/\/[^\/]*$/, "", dir)
            if (!(dir in made)) { system("mkdir -p " dir); made[dir] = 1 }
            for (line = 0; line < 3 + i % 90; line++) print "int v" i "_" line " = " i * line ";" >path
            close(path)
        }
    }'
    ln -s d1 link
    ln -s f0.c d0/s0/name
    printf '#!/bin/sh\n' >run.sh
    chmod +x run.sh
}

# Three commits: all, one that changes, moves and removes, and a branch beside it.
repository() {
    git init -q "$1"
    cd "$1"
    generate
    git add -A
    git commit -qm one
    sed -i '1s/^/\/\/ changed\n/' d3/s*/f*.c
    git mv d5 moved
    git rm -rq d7
    git commit -qam two
    git checkout -q -b side HEAD~1
    echo side >>d1/s1/f1.c
    git mv d9 d9b
    git commit -qam side
    git checkout -q main
}

# What has to be the same on both: names, states, differences, hashes.
work() {
    git clone -q --no-hardlinks "$PLAIN/origin" "$1"
    cd "$1"
    git status --porcelain
    git checkout -q HEAD~1
    git diff --stat main
    git status --porcelain
    git checkout -q main
    git merge -qm merged origin/side
    git log --format='%T %s'
    for f in d2/s*/f*.c; do echo 'again' >>"$f"; done
    rm -r d4
    mkdir d4
    echo new >d4/new
    git status --porcelain
    git diff
    git stash -q -u
    git status --porcelain
    git stash pop -q
    git add -A
    git commit -qm three
    git gc -q --prune=now
    git fsck --full --strict
    git checkout -q origin/side
    git clean -fdxq
    git rev-parse HEAD main
    git ls-files -s
}

(repository "$PLAIN/origin")
(work "$PLAIN/clone") >"$PLAIN/want" 2>&1
(work "$WORKSPACE/clone") >"$PLAIN/got" 2>&1
diff "$PLAIN/want" "$PLAIN/got"
diff -r --no-dereference -x .git "$PLAIN/clone" "$WORKSPACE/clone"
diff -r --no-dereference -x .git "$PLAIN/clone" "$CODEBASE/clone"
git -C "$CODEBASE/clone" fsck --full --strict
[ "$(wc -l <"$PLAIN/got")" -gt "$files" ] # it said something
