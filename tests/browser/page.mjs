// page.mjs CHROMIUM PAGE SHOTS: loads a report in a headless Chromium and judges what a reader would see. Speaks the
// DevTools protocol over a pipe, so that nothing but node is needed.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [chromium, page, shots] = process.argv.slice(2);
const url = pathToFileURL(page).href;
const profile = mkdtempSync(join(tmpdir(), "stockade-browser-"));
const browser = spawn(
  chromium,
  ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--remote-debugging-pipe", `--user-data-dir=${profile}`, "about:blank"],
  { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true },
);
const ended = new Promise((resolve) => browser.once("exit", resolve));

// ---- the protocol: JSON messages, each ended by a NUL ----

let last = 0;
let rest = "";
const waiting = new Map();
const listeners = [];

browser.stdio[4].setEncoding("utf8");
browser.stdio[4].on("data", (chunk) => {
  const messages = (rest + chunk).split("\0");
  rest = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) {
    if (message.id) waiting.get(message.id)(message);
    else listeners.forEach((listen) => listen(message));
  }
});

function send(method, params = {}, sessionId) {
  const id = ++last;
  browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
  return new Promise((resolve, reject) =>
    waiting.set(id, (answer) => (answer.error ? reject(new Error(`${method}: ${answer.error.message}`)) : resolve(answer.result))),
  );
}

// ---- judging ----

let failures = 0;
function expect(is, what) {
  if (is) return;
  failures++;
  console.error(`FAILED: ${what}`);
}

// A tab of its own that shows the page; what went wrong and what was fetched is noted.
async function open({ scripts = true, dark = false, width = 1200 }) {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const tab = { errors: [], requests: [], call: (method, params) => send(method, params, sessionId) };
  const loaded = new Promise((resolve) =>
    listeners.push((event) => {
      if (event.sessionId !== sessionId) return;
      if (event.method === "Page.loadEventFired") resolve();
      if (event.method === "Network.requestWillBeSent") tab.requests.push(event.params.request.url);
      if (event.method === "Runtime.exceptionThrown") tab.errors.push(event.params.exceptionDetails.exception?.description);
      if (event.method === "Log.entryAdded") tab.errors.push(event.params.entry.text);
      if (event.method === "Runtime.consoleAPICalled") tab.errors.push(JSON.stringify(event.params.args));
    }),
  );
  for (const domain of ["Page", "Network", "Runtime", "Log"]) await tab.call(`${domain}.enable`);
  await tab.call("Emulation.setScriptExecutionDisabled", { value: !scripts });
  await tab.call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
  await tab.call("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: false });
  await tab.call("Page.navigate", { url });
  await loaded;
  await tab.call("Emulation.setScriptExecutionDisabled", { value: false }); // ours must run to look at it
  tab.eval = async (expression) => (await tab.call("Runtime.evaluate", { expression, returnByValue: true })).result.value;
  return tab;
}

async function shoot(tab, name) {
  const { data } = await tab.call("Page.captureScreenshot", { captureBeyondViewport: true });
  writeFileSync(join(shots, name), Buffer.from(data, "base64"));
}

const look = `({
  background: getComputedStyle(document.body).backgroundColor,
  wide: document.documentElement.scrollWidth > innerWidth,
  figures: JSON.parse(document.getElementById("data").textContent).figures.length,
  sections: document.querySelectorAll("section").length,
  places: document.querySelectorAll("[data-figure]").length,
  rows: document.querySelectorAll("section tbody tr").length,
  unlabelled: [...document.querySelectorAll("table")].filter((t) => !t.caption?.textContent || !t.querySelector("th[scope=row]")).length,
  noscript: document.querySelector("noscript").getBoundingClientRect().height > 0,
  charts: [...document.querySelectorAll("[data-figure] svg")].map((svg) => ({
    label: svg.getAttribute("aria-label"), description: svg.getAttribute("aria-description"), role: svg.getAttribute("role"),
    ticks: svg.querySelectorAll("[aria-label=tick] line").length, boxes: svg.querySelectorAll("[aria-label=bar] rect").length,
    height: svg.getBoundingClientRect().height, text: svg.textContent })),
})`;

function judge(tab, seen, name) {
  expect(tab.errors.length === 0, `${name}: errors: ${tab.errors.join("; ")}`);
  expect(tab.requests.every((request) => request === url || request.startsWith("data:")), `${name}: it fetched ${tab.requests}`);
  expect(seen.sections === seen.figures && seen.figures > 0, `${name}: ${seen.sections} sections of ${seen.figures} figures`);
  expect(seen.rows >= seen.figures, `${name}: ${seen.rows} rows of figures`);
  expect(seen.unlabelled === 0, `${name}: ${seen.unlabelled} tables without a caption or row heads`);
  expect(!seen.wide, `${name}: the page is wider than its window`);
}

function judgeCharts(seen, name) {
  expect(seen.places > 0 && seen.charts.length === seen.places, `${name}: ${seen.charts.length} charts in ${seen.places} places`);
  for (const chart of seen.charts) {
    expect(chart.label && chart.description && chart.role === "img", `${name}: a chart without a label`);
    expect(chart.ticks >= 3, `${name}: ${chart.label}: ${chart.ticks} values drawn`);
    expect(chart.boxes >= 1, `${name}: ${chart.label}: no box`);
    expect(/is better/.test(chart.text), `${name}: ${chart.label}: the axis does not say what is better`);
    expect(chart.height > 40, `${name}: ${chart.label}: it has no height`);
  }
}

async function run() {
  const light = await open({});
  let seen = await light.eval(look);
  judge(light, seen, "light");
  judgeCharts(seen, "light");
  expect(!seen.noscript, "light: the page says that scripts do not run");
  await shoot(light, "light.png");
  const { data } = await light.call("Page.printToPDF", { printBackground: false });
  writeFileSync(join(shots, "print.pdf"), Buffer.from(data, "base64"));

  const dark = await open({ dark: true });
  const darkSeen = await dark.eval(look);
  judge(dark, darkSeen, "dark");
  judgeCharts(darkSeen, "dark");
  expect(darkSeen.background !== seen.background, "dark: the background is as in light");
  await shoot(dark, "dark.png");

  const narrow = await open({ width: 400 });
  judge(narrow, await narrow.eval(look), "narrow");
  await shoot(narrow, "narrow.png");

  const plain = await open({ scripts: false });
  seen = await plain.eval(look);
  judge(plain, seen, "without scripts");
  expect(seen.charts.length === 0 && seen.noscript, "without scripts: the page does not say where the charts are");
  await shoot(plain, "plain.png");
}

try {
  await Promise.race([run(), ended.then((code) => { throw new Error(`chromium ended: ${code}`); })]);
} catch (error) {
  expect(false, error.message);
}
// All of its processes, for one that outlives it writes to the profile yet.
process.kill(-browser.pid, "SIGKILL");
await ended;
rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
console.log(failures ? `${failures} failed` : "all passed");
process.exit(failures ? 1 : 0);
