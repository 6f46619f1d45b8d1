#!/usr/bin/env bash
# A Python virtual environment, made and used in the workspace and on the plain directory: modules compiled and
# imported, sqlite3, mmap, shelve, processes that share a lock file. Both have to say the same. Run by workspace.
set -euo pipefail
python=$(PATH=/usr/bin:/bin command -v python3)

use() {
    local venv=$1/venv site
    "$python" -m venv --without-pip "$venv"
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    mkdir -p "$site/judged"
    for i in $(seq 200); do echo "VALUE = $i" >"$site/judged/m$i.py"; done
    touch "$site/judged/__init__.py"
    "$venv/bin/python" -m compileall -q "$site/judged"
    cd "$1"
    "$venv/bin/python" - <<'END'
import dbm.dumb, fcntl, importlib, mmap, multiprocessing, os, pathlib, shelve, shutil, sqlite3, sys, tempfile, zipfile

assert sys.prefix != sys.base_prefix
print(sum(importlib.import_module(f"judged.m{i}").VALUE for i in range(1, 201)))
print(len(list(pathlib.Path(importlib.import_module("judged").__path__[0], "__pycache__").iterdir())))

db = sqlite3.connect("data.db")
for mode in ("delete", "wal", "truncate"):
    print(db.execute(f"pragma journal_mode={mode}").fetchone())
    with db:
        db.execute(f"create table {mode}_t(a, b)")
        db.executemany(f"insert into {mode}_t values(?, ?)", ((i, str(i) * 9) for i in range(5000)))
print(db.execute("select count(*), sum(a) from wal_t").fetchone(), db.execute("pragma integrity_check").fetchone())
db.close()

with open("mapped", "w+b") as f:
    f.truncate(1 << 20)
    with mmap.mmap(f.fileno(), 0) as m:
        m[1000:1005] = b"hello"
        m.flush()
    f.seek(1000)
    print(f.read(5))

with shelve.Shelf(dbm.dumb.open("shelf")) as s:
    s.update({str(i): list(range(i)) for i in range(50)})
with shelve.Shelf(dbm.dumb.open("shelf")) as s:
    print(len(s), len(s["49"]))


def count(_):
    for _ in range(100):
        with open("counter", "r+") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            n = int(f.read() or 0)
            f.seek(0)
            f.write(str(n + 1))
            f.flush()


open("counter", "w").close()
with multiprocessing.get_context("fork").Pool(4) as pool:
    pool.map(count, range(4))
print(open("counter").read())

shutil.make_archive("packed", "zip", importlib.import_module("judged").__path__[0])
print(len(zipfile.ZipFile("packed.zip").namelist()))
with tempfile.TemporaryDirectory(dir=".") as t, tempfile.NamedTemporaryFile(dir=t) as n:
    os.link(n.name, os.path.join(t, "again"))
    print(os.stat(n.name).st_nlink)
END
    find . | sort
}

(use "$PLAIN") >"$PLAIN/want" 2>&1
(use "$WORKSPACE") >"$PLAIN/got" 2>&1
diff <(grep -v '^\./\(want\|got\)$' "$PLAIN/want") "$PLAIN/got"
grep -qx 400 "$PLAIN/got" # the counter: it came to its end
diff -r --no-dereference "$WORKSPACE" "$CODEBASE"
