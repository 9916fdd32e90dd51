"use strict";
// The console: listens to /events, and draws what comes. No library, no build step, no other host.

const SPAN = 180; // of the charts at most, in seconds
const LEAST_SPAN = 30;
const STATES = { starting: 0, ready: 1, draining: 2, stopped: 3, failed: 3 };
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

const seen = { info: null, allowed: false, picture: null, points: [], report: null, state: "", lastAt: 0, paused: false };
let source = null;
let wait = 500;

// Elements

function element(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "vars") for (const [key, set] of Object.entries(value)) made.style.setProperty(key, set);
    else if (name === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(9).filter((each) => each !== null && each !== undefined && each !== false));
  return made;
}
const h = (tag, attributes, ...children) => element(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => element(document.createElementNS(SVG, tag), attributes, children);

// Makes `old` like `made` with as few changes as there are: what is selected or focused stays so.
function morph(old, made) {
  if (old.nodeType !== made.nodeType || old.nodeName !== made.nodeName) return old.replaceWith(made);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== made.data) old.data = made.data;
    return undefined;
  }
  for (const { name } of [...old.attributes]) {
    if (!made.hasAttribute(name) && name !== "style" && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of made.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style.cssText !== made.style.cssText) old.style.cssText = made.style.cssText;
  fill(old, [...made.childNodes]);
  return undefined;
}
function fill(parent, children) {
  const before = [...parent.childNodes];
  children.forEach((child, index) => (index < before.length ? morph(before[index], child) : parent.append(child)));
  before.slice(children.length).forEach((each) => each.remove());
}
function show(id, ...children) {
  const nodes = children.flat(9).filter((each) => each !== null && each !== undefined && each !== false);
  fill($(id), nodes.map((each) => (each instanceof Node ? each : document.createTextNode(each))));
}
const table = (kind, caption, heads, rows) => h("table", { class: kind },
  h("caption", { class: "hidden" }, caption),
  h("thead", {}, h("tr", {}, heads.map(([name, style]) => h("th", { scope: "col", class: style }, name)))),
  h("tbody", {}, rows));
const none = (text) => h("p", { class: "none" }, text);

// Words

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds === 0) return "0 ms";
  if (seconds < 0.001) return `${(seconds * 1000).toFixed(2)} ms`;
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return age(seconds);
}
function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}
const number = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : value >= 10 ? value.toFixed(1) : value.toFixed(value ? 2 : 0));
const percent = (share) => (share === 0 ? "0 %" : share < 0.001 ? "<0.1 %" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`);
const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");
const moment = (text) => (text ? Date.parse(text) / 1000 : null);
const plural = (count, one, many) => `${count} ${count === 1 ? one : many || `${one}s`}`;
const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);

// Charts

const span = (now) => Math.min(SPAN, Math.max(LEAST_SPAN, now - (seen.points.length ? seen.points[0].at : now)));
const xOf = (at, now) => 100 * (1 - (now - at) / span(now));
function pathOf(points, read, now, top) {
  let path = "";
  let last = null;
  for (const point of points) {
    const value = read(point);
    if (value === null || value === undefined || now - point.at > SPAN + 2) { last = null; continue; }
    const joined = last !== null && point.at - last < 6; // a gap in time is a gap in the line
    path += `${joined ? "L" : "M"}${xOf(point.at, now).toFixed(2)} ${(38 - 36 * Math.min(1, value / top)).toFixed(2)}`;
    last = point.at;
  }
  return path;
}
function areaOf(path) {
  return path.split("M").filter(Boolean).map((piece) => {
    const first = piece.split(/[ L]/)[0];
    const end = piece.split("L").at(-1).split(" ")[0];
    return `M${first} 38L${piece}L${end} 38Z`;
  }).join("");
}
const highest = (points, read, least) => points.reduce((top, point) => Math.max(top, read(point) || 0), least);
function chart(kind, label, points, now, reads, least) {
  const top = Math.max(...reads.map((read) => highest(points, read, least)));
  const lines = reads.map((read) => pathOf(points, read, now, top));
  return s("svg", { class: `chart ${kind}`, viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("line", { class: "base", x1: 0, x2: 100, y1: 38.5, y2: 38.5 }),
    s("path", { class: "area", d: areaOf(lines[0]) }),
    lines.slice(1).map((d) => s("path", { class: "line second", d })),
    s("path", { class: "line", d: lines[0] }),
    s("line", { class: "cursor", x1: -9, x2: -9, y1: 0, y2: 40 }));
}
// Both lines of a chart, and what is said below it.
const VITALS = [
  { name: "Requests per second", reads: [(p) => p.all.rate], least: 1, say: number, figure: (p) => [number(p.all.rate)],
    below: (p) => `${p.all.served.toLocaleString("en")} since the start` },
  { name: "Server errors", kind: "errors", reads: [(p) => p.all.errors], least: 0.01, say: percent, bad: (p) => p.all.errors >= 0.01,
    figure: (p) => [percent(p.all.errors)], below: (p) => `${p.all.failed.toLocaleString("en")} since the start` },
  { name: "Time to answer, p99 and p50", reads: [(p) => p.all.p99, (p) => p.all.p50], least: 0.001, say: duration,
    figure: (p) => [duration(p.all.p99), h("small", {}, ` p50 ${duration(p.all.p50)}`)], below: () => "of the last 5 s" },
  { name: "In flight", reads: [(p) => p.all.in_flight], least: 1, say: (value) => String(value),
    bad: (p) => p.all.in_flight >= 0.8 * (seen.picture.traffic.limit || 1e9),
    figure: (p) => [String(p.all.in_flight), h("small", {}, ` of ${(seen.picture.traffic.limit || 0).toLocaleString("en")}`)], below: rejectedText },
  { name: "Event-loop lag", reads: [(p) => p.lag], least: 0.01, say: duration, bad: (p) => p.lag >= 0.1,
    figure: (p) => [p.lag && p.lag < 0.001 ? "<1 ms" : duration(p.lag)], below: () => (seen.picture.event_loop.well ? "it turns" : "it stands still") },
];
let cursor = null; // which vital a pointer is over, and where

function rejectedText() {
  const { rejected, limited_by: short = [] } = seen.picture.traffic;
  const limited = short.length ? `, limited by ${short.join(", ")}` : "";
  const all = Object.values(rejected).reduce((sum, each) => sum + each, 0);
  const why = { concurrency: "too many", overload: "overloaded", deadline: "past the deadline", body_size: "too large", timeout: "timed out" };
  if (!all) return "none refused";
  return Object.entries(rejected).filter(([, count]) => count).map(([name, count]) => `${count} ${why[name] || name}`).join(", ") + limited;
}
function drawVitals(now) {
  const latest = seen.points.at(-1);
  if (!latest) return;
  show("vitals", VITALS.map((vital, index) => {
    let point = latest;
    let below = vital.below(latest);
    const label = `${vital.name}: now ${vital.say(vital.reads[0](latest))}, highest of the last ${age(span(now))} ${vital.say(highest(seen.points, vital.reads[0], 0))}`;
    if (cursor && cursor.index === index) {
      const at = now - span(now) * (1 - cursor.share);
      point = seen.points.reduce((best, each) => (Math.abs(each.at - at) < Math.abs(best.at - at) ? each : best), latest);
      below = `at ${clock(point.at)}`;
    }
    const drawn = chart(vital.kind || "", label, seen.points, now, vital.reads, vital.least);
    if (cursor && cursor.index === index) {
      const line = drawn.querySelector(".cursor");
      line.setAttribute("x1", xOf(point.at, now));
      line.setAttribute("x2", xOf(point.at, now));
    }
    return h("div", { class: `vital${vital.bad && vital.bad(point) ? " bad" : ""}`, "data-index": index },
      h("h2", {}, vital.name), h("p", { class: "figure" }, vital.figure(point)), drawn,
      h("p", { class: "scale" }, h("span", {}, below), h("span", {}, `top ${vital.say(highest(seen.points, vital.reads[0], 0))}`)));
  }));
}

// Panels

function drawHead(now) {
  const { info, picture } = seen;
  const state = seen.state || "connecting";
  document.documentElement.dataset.state = state;
  const down = picture.unready_for;
  document.documentElement.toggleAttribute("data-unready", down.length > 0);
  show("name", info.name);
  show("which", h("span", { class: info.environment === "production" ? "production" : "" }, info.environment),
    h("span", {}, "version ", h("b", {}, info.version || "unknown")),
    info.revision && h("span", {}, "revision ", h("code", {}, info.revision.slice(0, 12))), h("span", {}, "instance ", h("b", {}, info.instance)),
    picture.workers && picture.workers.length > 0 && h("span", {}, plural(picture.workers.length, "worker")),
    h("span", {}, "up ", age(now - moment(info.started_at))));
  const word = down.length ? "not ready" : state;
  const spoken = `${info.name} is ${word}`;
  if ($("announcement").textContent !== spoken) show("announcement", spoken);
  show("state", word);
  show("since", seen.report ? `at ${clock(picture.since)}` : `for ${age(now - picture.since)}, since ${clock(picture.since)}`);
  show("why", down.length ? `critical ${plural(down.length, "check")} down: ${down.join(", ")}` : reasonText());
  document.title = `${word} · ${info.name}${info.environment === "dev" ? "" : ` (${info.environment})`}`;
  drawIcon(getComputedStyle(document.documentElement).getPropertyValue("--tone").trim());
  const last = state === "failed" ? "failed" : "stopped";
  const started = picture.startup.jobs.every((job) => job.status === "done");
  show("lifeline", ["starting", "ready", "draining", last].map((each) => {
    const here = each === state;
    const past = STATES[each] < STATES[state] && (each === "starting" || (each === "ready" && started) || (each === "draining" && picture.drain));
    return h("li", { class: here ? "now" : past ? "past" : "", "aria-current": here ? "step" : null }, each);
  }));
  show("foot", `lmservice ${info.lmservice}, Python ${info.python}. What is shown is from ${clock(picture.at)}.`);
}
function reasonText() {
  const { drain } = seen.picture;
  if (!drain) return "";
  return drain.reason === "failure" ? "by a failure" : `asked to by ${drain.reason}`;
}

// Why it does not come up, or stops by itself; errors' messages come to those alone who may look inside.
function drawFailure() {
  const { startup, failure, drain } = seen.picture;
  const failed = seen.state === "failed" || (seen.report && seen.report.status === "failed");
  const trouble = startup.jobs.filter((job) => job.status === "failed" ? failed : job.status === "running" && (job.failure || job.attempts > 1));
  const stops = drain && drain.reason === "failure";
  $("failure").hidden = !failed && !stops && !trouble.length;
  if ($("failure").hidden) return;
  $("failure").className = failed || stops ? "" : "trying";
  const code = seen.report ? `, exit code ${seen.report.exit_code}` : "";
  show("failure-title", failed ? `The start failed${code}` : stops ? `It stops by itself${code}` : "A start-up job fails, and is tried again");
  const said = failure || (drain && drain.failure) || "";
  show("failure-body",
    said && h("p", { class: "said" }, said),
    trouble.filter((job) => job.status === "running" || !said).map((job) => h("p", {}, h("b", {}, job.name), ` ${attemptsOf(job)}`,
      job.failure && h("span", { class: "said" }, `: ${job.failure}`))),
    !seen.allowed && h("p", { class: "quiet" }, "What it failed with is told to peers in LM_MANAGEMENT_ALLOW, and in the log."));
}
const allowed = (job) => (job.attempts_allowed === null ? "" : ` of ${job.attempts_allowed}`);
const attemptsOf = (job) => `attempt ${job.attempts}${allowed(job)}`;

function drawWorkers(now) {
  const { workers } = seen.picture;
  $("workers-section").hidden = !workers || !workers.length;
  if ($("workers-section").hidden) return;
  show("workers-note", `${workers.filter((each) => each.ready).length} of ${workers.length} ready`);
  show("workers", table("", "Workers", [["Worker"], ["State"], ["per s", "n"], ["in flight", "n"], ["Loop lag", "n wide"], ["pid", "n"]], workers.map((each) => [h("tr", {},
    h("th", { scope: "row" }, String(each.worker)),
    h("td", { class: each.ready ? "up" : each.state === "ready" ? "bad" : "" }, each.state === "ready" && !each.ready ? "not ready" : each.state),
    h("td", { class: "n" }, number(each.rate)), h("td", { class: "n" }, String(each.in_flight)),
    h("td", { class: "n wide" }, duration(each.lag)), h("td", { class: "n mono" }, String(each.pid))),
  each.last_death && h("tr", {}, h("td", { class: "bad follows", colspan: "6" }, deathOf(each, now)))])));
}
const deathOf = ({ deaths, last_death: { at, signal, cause, exit_code: code } }, now) => `died ${deaths}x, ${cause ? `killed for ${cause}` : signal || `exit code ${code}`}, ${age(now - at)} ago`;
function drawIcon(colour) {
  const drawn = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${colour}"/></svg>`;
  const address = `data:image/svg+xml,${encodeURIComponent(drawn)}`;
  if ($("icon").getAttribute("href") !== address) $("icon").setAttribute("href", address);
}

const PHASES = [["drain_delay", "accepting until nobody sends any more"], ["drain", "finishing what is in flight"], ["cleanup", "clean-up"]];
function drawDrain(now) {
  const { drain, traffic } = seen.picture;
  $("drain").hidden = !drain || seen.state === "failed"; // a start that fails drains nothing
  if ($("drain").hidden) return;
  const reached = PHASES.findIndex(([name]) => name === drain.phase);
  const phases = h("ol", { class: "phases" }, PHASES.map(([name, said], index) => {
    const passed = now - drain.phase_since;
    const here = index === reached && !seen.report;
    const share = here && drain.limit ? Math.min(1, passed / drain.limit) : index < reached || seen.report ? 1 : 0;
    const took = seen.report && seen.report.phases ? `, ${duration(seen.report.phases[name])}` : "";
    return h("li", { class: here ? "now" : index < reached || seen.report ? "past" : "" },
      said, here ? `, ${age(passed)} of at most ${age(drain.limit || 0)}` : took,
      h("span", { class: "meter" }, h("i", { vars: { "--share": `${share * 100}%` } })));
  }));
  const { connections } = drain;
  const held = [];
  if (traffic.all.in_flight) held.push(plural(traffic.all.in_flight, "request"));
  if (drain.background) held.push(plural(drain.background, "background task"));
  if (drain.periodic_jobs.length) held.push(`the periodic ${plural(drain.periodic_jobs.length, "job").slice(2)} ${listed(drain.periodic_jobs)}`);
  const idle = connections ? connections.each.filter((each) => each.at === "idle").length : 0;
  if (connections && connections.open && !held.length) held.push(plural(connections.open, "open connection"));
  const kinds = { answer: "awaiting an answer", head: "in the middle of a head", rest: "in the middle of a body", idle: "idle" };
  const counts = Object.entries(kinds).map(([kind, said]) => [connections ? connections.each.filter((each) => each.at === kind) : [], said]);
  const over = seen.report || seen.state === "stopped" || seen.state === "failed";
  const by = seen.report ? `${plural(seen.report.requests.served, "request")} finished, ${seen.report.requests.cancelled} cut off.` : "";
  show("drain-body",
    h("p", {}, over ? `Over. ${by}` : held.length ? ["Held up by ", h("b", {}, listed(held)), "."] : drain.phase === "drain_delay" ? "Still accepting, so that whoever sends requests here has time to notice." : "Nothing holds it up."),
    phases,
    !over && h("div", { class: "holding" },
      h("div", {}, h("h3", {}, "Requests"), waitingTable("still in flight")),
      h("div", {}, h("h3", {}, "Connections"),
        connections && connections.open ? h("ul", {}, counts.filter(([found]) => found.length).map(([found, said]) =>
          h("li", {}, `${found.length} ${said}`, seen.allowed && found.length < 6 && h("span", { class: "quiet" }, ` ${found.map((each) => each.peer).join(", ")}`))),
        connections.websockets ? h("li", {}, plural(connections.websockets, "WebSocket")) : null) : none("None is open."),
        h("h3", {}, "Other work"),
        h("ul", {}, h("li", {}, plural(drain.background, "background task")),
          h("li", {}, drain.periodic_jobs.length ? `periodic: ${drain.periodic_jobs.join(", ")}` : "no periodic job runs")),
        idle && drain.phase === "drain" ? h("p", { class: "quiet" }, "Idle connections are closed at the end of their grace.") : null)));
}

const workerOf = (each) => each.worker && h("span", { class: "quiet" }, each.worker === "supervisor" ? " supervisor" : ` worker ${each.worker}`); // of several
function waitingTable(caption) {
  const { waiting, all } = seen.picture.traffic;
  if (!waiting.length) return none("No request is in flight.");
  const rows = waiting.slice(0, 12).map((each) => h("tr", {},
    h("th", { scope: "row" }, h("span", { class: "method" }, each.method), h("span", { class: "mono" }, each.path || each.route), workerOf(each),
      seen.allowed && h("span", { class: "id narrow" }, each.request_id)),
    h("td", { class: "n" }, duration(each.seconds)), h("td", { class: "wide" }, each.answering ? "answer begun" : "no answer yet"),
    seen.allowed && h("td", { class: "wide" }, h("span", { class: "id" }, each.request_id))));
  const more = all.in_flight - Math.min(12, waiting.length);
  return [table("", `Requests ${caption}`, [["Request"], ["Age", "n"], ["Answer", "wide"], seen.allowed && ["Request id", "wide"]].filter(Boolean), rows),
    more > 0 ? h("p", { class: "quiet" }, `and ${more} more`) : null];
}

function drawRoutes(now) {
  const { routes } = seen.picture.traffic;
  show("routes-note", "of the last five seconds");
  if (!routes.length) return show("routes", none("No request has been answered yet."));
  const rows = routes.map((each) => {
    const key = `${each.method} ${each.route}`;
    const points = seen.points.filter((point) => point.routes[key] !== undefined);
    const read = (point) => point.routes[key];
    return h("tr", {},
      h("th", { scope: "row", class: "name" }, h("span", { class: "method" }, each.method), h("span", { class: "mono" }, each.route),
        each.route === "none" && h("span", { class: "quiet" }, " matched")),
      h("td", { class: "wide spark-cell" }, sparkline(`requests per second of ${key}: now ${number(each.rate)}`, points, now, read)),
      h("td", { class: "n" }, number(each.rate)), h("td", { class: `n ${each.errors ? "bad" : "quiet"}` }, percent(each.errors)),
      h("td", { class: "n wide" }, duration(each.p50)), h("td", { class: "n" }, duration(each.p99)),
      h("td", { class: "n wide" }, String(each.in_flight)), h("td", { class: "n wide quiet" }, each.served.toLocaleString("en")));
  });
  return show("routes", table("routes", "Requests by route", [["Route", "name"], [`Last ${age(span(now))}`, "wide"], ["per s", "n"],
    ["5xx", "n"], ["p50", "n wide"], ["p99", "n"], ["in flight", "n wide"], ["since start", "n wide"]], rows));
}
function sparkline(label, points, now, read) {
  const drawn = chart("spark", label, points, now, [read], 0.2);
  drawn.querySelector(".cursor").remove();
  return drawn;
}

function drawErrors(now) {
  const { errors } = seen.picture;
  if (!errors.length) return show("errors", none("No handler has raised."));
  const rows = errors.slice(0, 8).map((error) => h("tr", {},
    h("th", { scope: "row" }, h("span", { class: "method" }, error.method), h("span", { class: "mono" }, error.path || error.route), workerOf(error),
      h("span", { class: "narrow quiet" }, `${age(now - error.at)} ago`)),
    h("td", {}, error.failure ? h("span", { class: "bad" }, error.failure) : h("span", { class: "quiet" }, "for allowed peers alone"),
      error.place && h("span", { class: "place mono" }, error.place), seen.allowed && h("span", { class: "id narrow" }, error.request_id)),
    h("td", { class: "n wide" }, `${age(now - error.at)} ago`),
    seen.allowed && h("td", { class: "wide" }, h("span", { class: "id" }, error.request_id))));
  return show("errors", table("errors", "The last errors", [["Request"], ["Error"], ["When", "n wide"], seen.allowed && ["Request id", "wide"]].filter(Boolean), rows));
}

function drawSlowest(now) {
  const { slowest } = seen.picture;
  if (!slowest.length) return show("slowest", none("None yet: they are collected from the moment that a console is open."));
  const longest = slowest[0].seconds || 1;
  const rows = slowest.map((each) => h("tr", {},
    h("td", { class: "n" }, duration(each.seconds), h("span", { class: "meter" }, h("i", { vars: { "--share": `${(100 * each.seconds) / longest}%` } }))),
    h("td", { class: `n ${each.status >= 500 ? "bad" : ""}` }, String(each.status)),
    h("th", { scope: "row" }, h("span", { class: "method" }, each.method), h("span", { class: "mono" }, each.path || each.route), workerOf(each),
      seen.allowed && h("span", { class: "id narrow" }, each.request_id)),
    h("td", { class: "n wide" }, `${age(now - each.at)} ago`),
    seen.allowed && h("td", { class: "wide" }, h("span", { class: "id" }, each.request_id))));
  return show("slowest", table("slowest", "The slowest requests", [["Took", "n"], ["Status", "n"], ["Request"], ["When", "n wide"], seen.allowed && ["Request id", "wide"]].filter(Boolean), rows));
}

function drawStartup() {
  const { jobs, critical_path: path, limit } = seen.picture.startup;
  if (!jobs.length) return show("startup", none("This service has no start-up jobs."));
  const end = Math.max(0.001, ...jobs.map((job) => job.began + job.seconds));
  const critical = new Set(path);
  const ordered = [...jobs].sort((a, b) => (a.status === "pending") - (b.status === "pending") || a.began - b.began || b.seconds - a.seconds);
  const done = jobs.filter((job) => job.status === "done").length;
  show("startup-note", done === jobs.length ? `${plural(jobs.length, "job")} in ${duration(end)}` : `${done} of ${jobs.length} done, ${duration(end)} of at most ${age(limit)}`);
  return show("startup", h("ol", { class: "gantt" }, ordered.map((job) => {
    const pending = job.status === "pending";
    const tries = job.attempts > 1 ? `, ${attemptsOf(job)}` : "";
    const after = job.after.length ? `after ${job.after.join(", ")}` : "from the first moment";
    return h("li", { class: `${job.status}${critical.has(job.name) ? " critical" : ""}`, title: after },
      h("span", { class: "job" }, job.name, h("span", { class: "hidden" }, `, ${job.status}${tries}, ${after}${critical.has(job.name) ? ", on the critical path" : ""}`)),
      h("span", { class: "track" }, !pending && h("i", { class: "bar", vars: { "--from": `${(100 * job.began) / end}%`, "--share": `${(100 * job.seconds) / end}%` } })),
      h("span", { class: `n ${pending ? "quiet" : job.status === "done" ? "" : job.status}` },
        pending ? "waits" : job.status === "failed" ? "failed" : duration(job.seconds), job.attempts > 1 && h("span", { class: "quiet" }, ` ${job.attempts}${allowed(job)}`)));
  })),
  path.length > 1 ? h("p", { class: "path" }, "Critical path: ", path.join(" → ")) : null);
}

function drawChecks(now) {
  const { checks } = seen.picture;
  if (!checks.length) return show("checks", none("This service has no health checks."));
  return show("checks", h("ul", {}, checks.map((check) => {
    const failed = check.polls.filter(([, , error]) => error).length;
    const gaps = Array.from({ length: Math.max(0, 60 - check.polls.length) }, () => h("i", { class: "gap" }));
    const latest = check.polls.at(-1);
    const history = check.polls.length ? `${plural(check.polls.length, "poll")} remembered, ${failed} failed` : "not polled yet";
    return h("li", { class: "check" },
      h("span", {}, h("b", {}, check.name), check.critical ? h("span", { class: "note" }, "critical") : null),
      h("span", { class: "right" }, h("b", { class: check.status }, check.status), check.since ? h("span", { class: "quiet" }, ` for ${age(now - check.since)}`) : null),
      h("span", { class: "polls", role: "img", "aria-label": history }, gaps,
        check.polls.map(([at, seconds, error]) => h("i", { class: error ? "bad" : "", title: `${clock(at)}, ${duration(seconds)}${error ? `: ${error}` : ""}` }))),
      h("span", { class: "quiet" }, latest ? `last ${age(now - latest[0])} ago, ${duration(latest[1])}` : history),
      h("span", { class: "right quiet" }, failed ? `${failed} of ${check.polls.length} failed` : ""),
      check.error && h("span", { class: "whole bad" }, check.failure || check.error));
  })));
}

function drawPeriodic(now) {
  const jobs = seen.picture.periodic_jobs;
  if (!jobs.length) return show("periodic", none("This service has no periodic jobs."));
  return show("periodic", table("", "Periodic jobs", [["Job"], ["Now"], ["Last success", "n"], ["Took", "n wide"], ["Runs", "n wide"], ["Failed", "n"]], jobs.map((job) => [h("tr", {},
    h("th", { scope: "row" }, job.name, h("span", { class: "quiet" }, ` every ${age(job.every)}`)),
    h("td", { class: `keep ${job.status === "running" ? "running" : "quiet"}` }, job.status === "running" && job.began ? `runs for ${age(now - moment(job.began))}` : job.status),
    h("td", { class: "n" }, job.last_success ? `${age(now - moment(job.last_success))} ago` : "never"),
    h("td", { class: "n wide" }, duration(job.seconds)), h("td", { class: "n wide" }, String(job.runs)),
    h("td", { class: `n ${job.failures ? "bad" : "quiet"}` }, String(job.failures))),
  job.last_error && h("tr", {}, h("td", { class: "bad follows", colspan: "6" }, job.failure || job.last_error))])));
}

function drawClients() {
  const { clients } = seen.picture;
  if (!clients.length) return show("clients", none("No host has been called."));
  const words = { closed: "closed", half_open: "half open", open: "open" };
  return show("clients", table("", "Outbound clients", [["Host"], ["Breaker"], ["per s", "n"], ["failed", "n"], ["mean", "n"], ["calls", "n wide"]], clients.map((each) => h("tr", {},
    h("th", { scope: "row" }, each.host, each.client !== each.host && h("span", { class: "quiet" }, ` ${each.client}`)),
    h("td", { class: each.breaker }, words[each.breaker] || each.breaker), h("td", { class: "n" }, number(each.rate)),
    h("td", { class: `n ${each.errors ? "bad" : "quiet"}` }, percent(each.errors)), h("td", { class: "n" }, duration(each.mean)),
    h("td", { class: "n wide quiet" }, each.calls.toLocaleString("en"))))));
}

function draw() {
  if (!seen.picture || !seen.info || seen.paused) return;
  const now = seen.picture.at;
  drawHead(now);
  drawFailure();
  drawDrain(now);
  drawVitals(now);
  drawWorkers(now);
  drawRoutes(now);
  drawErrors(now);
  drawSlowest(now);
  $("waiting-section").hidden = Boolean(seen.picture.drain);
  show("waiting", waitingTable("in flight"));
  drawStartup();
  drawChecks(now);
  drawPeriodic(now);
  drawClients();
  const starting = seen.state === "starting" || seen.state === "failed";
  if (starting !== ($("startup-section").parentElement === $("main"))) {
    starting ? $("main").insertBefore($("startup-section"), $("vitals")) : document.querySelectorAll(".column")[1].prepend($("startup-section"));
  }
}

// What is asked for rather than sent: settings, levels, stacks

async function ask(path, options) {
  const response = await fetch(path, options);
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail || `${path} answered ${response.status}`);
  return body;
}
function shown(value) {
  if (value === null || value === undefined || value === "") return h("span", { class: "quiet" }, "none");
  return Array.isArray(value) ? value.join(", ") || h("span", { class: "quiet" }, "none") : typeof value === "object" ? JSON.stringify(value) : String(value);
}
async function readSettings() {
  if (!seen.allowed) {
    show("settings-note", "");
    show("settings", none("Only peers in LM_MANAGEMENT_ALLOW may see the settings, and this one is not among them."));
    return;
  }
  const settings = Object.values(await ask("/config"));
  const given = settings.filter((each) => each.source !== "default");
  const row = (each) => h("tr", {},
    h("td", {}, h("code", { title: each.description }, each.variable.split("_").flatMap((word, index) => (index ? ["_", h("wbr"), word] : [word])))), h("td", { class: "mono" }, shown(each.value)),
    h("td", { class: "keep" }, each.source), h("td", { class: "mono wide quiet" }, shown(each.default)));
  const heads = [["Variable"], ["Value"], ["From"], ["Default", "wide"]];
  show("settings-note", `${given.length} of ${settings.length} are given; what is not plainly harmless is masked`);
  show("settings", given.length ? table("", "Settings that are given", heads, given.map(row)) : none("None is given: all are at their defaults."),
    h("details", {}, h("summary", {}, `The ${settings.length - given.length} at their defaults`),
      table("", "Settings at their defaults", heads, settings.filter((each) => each.source === "default").map(row))));
}
async function readLoggers() {
  for (const each of $("change").elements) each.disabled = !seen.allowed;
  $("logger").disabled = !seen.allowed;
  if (!seen.allowed) show("change-said", "Only peers in LM_MANAGEMENT_ALLOW may change levels.");
  const { loggers } = await ask("/loggers");
  const names = Object.keys(loggers);
  fill($("logger-names"), names.map((name) => h("option", { value: name })));
  const changed = names.filter((name) => loggers[name].reverts_in !== undefined);
  const own = names.filter((name) => loggers[name].level && !changed.includes(name));
  show("loggers",
    changed.length ? table("", "Changed levels", [["Logger"], ["Level"], ["Reverts in", "n"], [""]], changed.map((name) => h("tr", {},
      h("th", { scope: "row", class: "mono" }, name), h("td", { class: "strong" }, loggers[name].effective),
      h("td", { class: "n" }, age(loggers[name].reverts_in)),
      h("td", { class: "n" }, h("button", { type: "button", class: "small", disabled: !seen.allowed, "data-revert": name, "data-level": loggers[name].effective }, "Revert now"))))) : null,
    h("p", { class: "quiet" }, `${own.map((name) => `${name} ${loggers[name].level}`).join(", ")}; the others as the logger above them.`));
}
async function change(name, level, seconds) {
  try {
    await ask(`/loggers/${encodeURIComponent(name)}`, {
      method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ level, duration: seconds }),
    });
    show("change-said", seconds < 1 ? `${name} is back at what it was.` : `${name} is at ${level} for ${age(seconds)}.`);
  } catch (error) {
    show("change-said", error.message);
  }
  setTimeout(() => readLoggers().catch(() => {}), seconds < 1 ? 60 : 0);
}
async function readTasks() {
  try {
    const { tasks, threads } = await ask("/tasks");
    show("tasks-note", `${plural(tasks.length, "task")} and ${plural(threads.length, "thread")} at ${new Date().toLocaleTimeString("en-GB")}`);
    const each = (found, said) => h("details", {}, h("summary", {}, h("b", {}, found.name), said ? ` ${said}` : "", workerOf(found),
      h("span", { class: "quiet" }, found.stack.length ? ` ${found.stack.at(-1).split("/").at(-1)}` : "")), h("pre", { tabindex: "0" }, found.stack.join("\n") || "nothing to show"));
    $("tasks").replaceChildren(h("div", {}, tasks.map((task) => each(task, task.coroutine)), threads.map((thread) => each(thread, "thread"))));
  } catch (error) {
    show("tasks-note", error.message);
  }
}

// The connection

function link(kind, said) {
  document.documentElement.dataset.link = kind;
  show("link", said);
}
function banner(said, calm) {
  $("banner").hidden = !said;
  $("banner").className = calm ? "calm" : "";
  if (said) show("banner", said);
}
const pointOf = (at, traffic, lag) => ({ at, all: traffic.all, lag, routes: Object.fromEntries(traffic.routes.map((each) => [`${each.method} ${each.route}`, each.rate])) });

function hello(event) {
  const { info, allowed, history } = JSON.parse(event.data);
  if (seen.info && seen.info.lmservice !== info.lmservice) return location.reload(); // another release's page
  const other = !seen.info || seen.info.started_at !== info.started_at;
  Object.assign(seen, { info, allowed, report: null });
  const points = history.map((each) => pointOf(each.at, each.traffic, each.event_loop.lag));
  const known = other ? new Set() : new Set(points.map((point) => point.at));
  seen.points = other ? points : [...seen.points.filter((point) => !known.has(point.at) && point.at < (points[0] || { at: 0 }).at), ...points];
  if (other) $("tasks").replaceChildren();
  wait = 500;
  link("live", "live");
  banner("");
  show("change-said", "");
  $("read-tasks").disabled = !allowed;
  show("tasks-note", allowed ? "" : "only peers in LM_MANAGEMENT_ALLOW may see them");
  readSettings().catch((error) => show("settings-note", error.message));
  return readLoggers().catch((error) => show("change-said", error.message));
}
function picture(event) {
  const found = JSON.parse(event.data);
  Object.assign(seen, { picture: found, state: found.state, lastAt: Date.now() });
  if (found.at !== (seen.points.at(-1) || {}).at) seen.points.push(pointOf(found.at, found.traffic, found.event_loop.lag));
  seen.points = seen.points.filter((point) => found.at - point.at < SPAN + 5);
  draw();
}
function end(event) {
  const { state, report } = JSON.parse(event.data);
  Object.assign(seen, { state, report });
  source.close();
  source = null;
  draw();
  link("ended", "ended");
  const problems = report && report.problems ? ` ${report.problems.map((each) => `${each}.`).join(" ")}` : "";
  const said = report ? `: exit code ${report.exit_code} after ${duration(report.seconds)}, ${plural(report.requests.served, "request")} finished, ${report.requests.cancelled} cut off.` : ".";
  const failed = report && report.status === "failed"; // of which a panel says all
  banner(`${failed ? "The service has not come up." : `The service has stopped${said}${problems}`} This page goes on once it is back.`, report && report.exit_code === 0);
  setTimeout(connect, 1000);
}
function lost() {
  if (source) source.close();
  source = null;
  if (document.documentElement.dataset.link === "live") {
    seen.lostAt = Date.now();
    link("lost", "lost");
  }
  if (!seen.report) sayLost();
  setTimeout(connect, wait);
  wait = Math.min(wait * 1.6, 4000);
}
async function sayLost() {
  if (!seen.lastAt) {
    link("lost", "not connected");
    const answer = await fetch("/events", { method: "HEAD" }).catch(() => null);
    banner(answer && !answer.ok ? `The service answered ${answer.status}: this page may not watch it.` : "The service does not answer; trying again.");
    return;
  }
  banner(`The connection is lost since ${new Date(seen.lostAt || Date.now()).toLocaleTimeString("en-GB")}: what is shown is from ${new Date(seen.lastAt).toLocaleTimeString("en-GB")}. Trying again.`);
}
function connect() {
  if (source) return;
  source = new EventSource("/events");
  source.addEventListener("hello", hello);
  source.addEventListener("picture", picture);
  source.addEventListener("end", end);
  source.addEventListener("error", lost);
}

// What a person does

$("pause").addEventListener("click", () => {
  seen.paused = !seen.paused;
  $("pause").setAttribute("aria-pressed", String(seen.paused));
  show("pause", seen.paused ? "Go on" : "Pause");
  draw();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "p" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, select, textarea")) $("pause").click();
});
$("change").addEventListener("submit", (event) => {
  event.preventDefault();
  change($("logger").value.trim(), $("level").value, Number($("duration").value));
});
$("loggers").addEventListener("click", (event) => {
  const { revert, level } = event.target.dataset;
  if (revert) change(revert, level, 0.01);
});
$("read-tasks").addEventListener("click", readTasks);
$("vitals").addEventListener("pointermove", (event) => {
  const drawn = event.target.closest(".chart");
  if (!drawn) return;
  const box = drawn.getBoundingClientRect();
  cursor = { index: Number(drawn.closest(".vital").dataset.index), share: (event.clientX - box.left) / box.width };
  if (seen.picture) drawVitals(seen.picture.at);
});
$("vitals").addEventListener("pointerleave", () => {
  cursor = null;
  if (seen.picture) drawVitals(seen.picture.at);
});
setInterval(() => {
  if (document.documentElement.dataset.link === "live" && document.querySelector("[data-revert]")) readLoggers().catch(() => {});
  if (document.documentElement.dataset.link === "live" && source && Date.now() - seen.lastAt > 6000) lost(); // silence is a loss as well
}, 2000);
connect();
