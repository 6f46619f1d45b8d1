#!/usr/bin/env bash
# Makes charts.min.js and its licences anew, from the versions in package-lock.json. Needs npm and a network; building
# Stockade needs neither, for both files are kept.
set -euo pipefail
cd "$(dirname "$0")"

npm ci --ignore-scripts --no-audit --no-fund
npx --no-install esbuild charts.js --bundle --minify --format=iife --target=es2020 --charset=utf8 \
    --legal-comments=none --metafile=meta.json --outfile=charts.min.js --log-level=warning
# Inside a script element only this could end it.
! grep -q '</script' charts.min.js
# The licences of what is in the file.
node -e '
const fs = require("fs");
const inputs = Object.keys(JSON.parse(fs.readFileSync("meta.json")).inputs);
const names = new Set(inputs.map((i) => i.match(/^node_modules\/((@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean));
for (const name of [...names].sort()) {
  const dir = `node_modules/${name}`;
  const { version, license } = JSON.parse(fs.readFileSync(`${dir}/package.json`));
  const file = fs.readdirSync(dir).find((f) => /^licen[cs]e/i.test(f));
  console.log(`${name} ${version} (${license})\n\n${file ? fs.readFileSync(`${dir}/${file}`, "utf8").trim() : ""}\n\n----\n`);
}' >LICENCES
rm -rf meta.json node_modules
