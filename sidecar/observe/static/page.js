/* The live page: one stream of messages, each of which is the whole state, and one box.
 *
 * Law: what comes is data. It becomes text and numbers of elements made here, never markup: nothing of a visitor's can act. */
"use strict";

const VERDICTS = ["human", "suspect", "bot", "verified"];
const SVG = "http://www.w3.org/2000/svg";
const HELD = { ip: "address", ua: "agent", referrer: "referrer", url: "URL", headers: "headers", tls: "TLS handshake", client: "what clients did before" };
const $ = (id) => document.getElementById(id);

/* An element with a class, a text, and children. */
function make(tag, name, ...content) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...content.map((each) => (each instanceof Node ? each : String(each))));
  return element;
}

function draw(tag, attributes, ...content) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

const count = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)}M` : n >= 1e4 ? `${(n / 1e3).toFixed(n >= 1e5 ? 0 : 1)}k` : Math.round(n).toLocaleString("en"));
const rate = (n) => (n >= 100 ? count(n) : n >= 10 ? n.toFixed(0) : n.toFixed(1));
const many = (n, what) => `${count(n)} ${what}${Math.round(n) === 1 ? "" : "s"}`;
const share = (part, whole) => (!whole ? "–" : part && part / whole < 0.001 ? "<0.1%" : `${(100 * part / whole).toFixed(part / whole >= 0.1 || !part ? 0 : 1)}%`);
const micros = (n) => (n === null ? "–" : n >= 1e3 ? `${(n / 1e3).toFixed(1)} ms` : `${Math.round(n)} µs`);
const clock = (stamp) => new Date(stamp * 1e3).toLocaleTimeString([], { hour12: false });
const day = (stamp) => (stamp ? new Date(stamp * 1e3).toISOString().slice(0, 10) : "unknown");
const signed = (n) => `${n < 0 ? "−" : "+"}${Math.abs(n).toFixed(3)}`;
const minutes = (s) => (s >= 90 ? `${Math.round(s / 60)} minutes` : `${Math.round(s)} seconds`);

/* Each row stays the element that it was as long as its key is there, and what is open stays until it is closed. */
function keep(box, rows, key, build, none) {
  const old = new Map([...box.children].filter((each) => each.dataset.key).map((each) => [each.dataset.key, each]));
  const now = rows.map((row) => {
    const found = old.get(key(row)) ?? build(row);
    found.dataset.key = key(row);
    return found;
  });
  const open = [...old.values()].filter((each) => !now.includes(each) && each.querySelector("details[open]"));
  const fresh = now.length || open.length ? [...now, ...open] : [make("p", "empty", none)];
  if (fresh.length !== box.children.length || fresh.some((each, i) => each !== box.children[i])) box.replaceChildren(...fresh);
}

/* ---- the parts of the page ---- */

function showHead(said) {
  const live = said.live;
  $("version").textContent = said.version;
  const good = live.ready && !said.draining;
  $("state").className = `pill ${good ? "good" : "bad"}`;
  $("state").textContent = said.draining ? "draining" : `${live.workers_up} of ${live.workers} workers up`;
  $("modes").replaceChildren(...Object.entries(said.policies).map(([name, policy]) => {
    const left = policy.seconds === null ? "" : `, ${minutes(policy.seconds)} left`;
    return make("span", policy.by_hand ? "pill hand" : "pill", `${name}: ${policy.mode}${policy.by_hand ? ` by hand${left}` : ""}`);
  }));
  const wrong = [
    ...said.alarms.map((each) => `${each.alarm.replaceAll("_", " ")}: ${each.says}.`),
    ...Object.entries(said.unreachable).map(([address, why]) => `${address} is unreachable: ${why}.`),
    ...(said.model.refused ? [`The model was refused, and the default one observes: ${said.model.refused}`] : []),
  ];
  $("alarm").hidden = !wrong.length;
  $("alarm").textContent = wrong.join(" ");
}

function showFigures(live) {
  const window = live.window, seconds = Math.max(window.seconds, 1), last = live.series.at(-1);
  const now = last ? VERDICTS.reduce((sum, name) => sum + last[name], 0) : window.requests / seconds;
  const figures = [
    ["Requests a second", rate(now), `${count(window.requests)} in ${minutes(seconds)}`],
    ["Refused", share(window.refused, window.requests), `${count(window.refused)} answered 403`],
    ["Bots", share(window.bot, window.requests), `${count(window.bot)} called bots`],
    ["Verified crawlers", share(window.verified, window.requests), `${count(window.verified)} requests`],
    ["Half are judged within", micros(window.latency.p50), `99% within ${micros(window.latency.p99)}`],
  ];
  $("figures").replaceChildren(...figures.map(([name, value, more]) => make("div", "", make("dt", "", name), make("dd", "", value), make("dd", "small", more))));
}

function showTraffic(live) {
  const width = Math.max($("traffic").clientWidth, 300), height = 190, left = 36, bottom = 22, top = 8, points = 60, step = (width - left) / points;
  const most = Math.max(...live.series.map((point) => VERDICTS.reduce((sum, name) => sum + point[name], 0)), 0.1);
  const nice = [1, 2, 5, 10].map((n) => n * 10 ** Math.floor(Math.log10(most))).find((n) => n >= most);
  const y = (value) => top + (height - top - bottom) * (1 - value / nice);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Requests a second by verdict, of the last five minutes" });
  for (const value of [0, nice / 2, nice]) {
    svg.append(draw("line", { x1: left, x2: width, y1: y(value), y2: y(value) }), draw("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, value >= 1 || !value ? count(value) : value.toFixed(2)));
  }
  for (const point of live.series) {
    const x = width - (point.ago / 5 + 1) * step;
    if (x < left - step / 2) continue;
    let sum = 0;
    const bar = draw("g", {}, draw("title", {}, `${Math.round(point.ago)} s ago: ${VERDICTS.map((name) => `${name} ${point[name]}`).join(", ")}, refused ${point.refused}`));
    for (const name of VERDICTS) {
      if (!point[name]) continue;
      bar.append(draw("rect", { class: name, x: x + step / 12, y: y(sum + point[name]), width: step * 5 / 6, height: Math.max(y(sum) - y(sum + point[name]), 0.5), rx: 1 }));
      sum += point[name];
    }
    svg.append(bar);
  }
  for (const [seconds, text] of [[300, "5 minutes ago"], [0, "now"]]) {
    svg.append(draw("text", { x: width - seconds / 5 * step, y: height - 4, "text-anchor": seconds ? "start" : "end" }, text));
  }
  $("traffic").replaceChildren(svg);
  $("legend").replaceChildren(...VERDICTS.map((name) => make("li", name, make("span", "", `${name} ${count(live.window[name])}`))));
}

function showPolicies(said) {
  const columns = [...VERDICTS, "refused", "requests"], window = said.live.window;
  const row = (name, counts, sum) => make("tr", sum ? "sum" : "", make("th", "", name), ...columns.map((each) => make("td", VERDICTS.includes(each) && counts[each] ? each : "", count(counts[each]))));
  const policies = Object.entries(window.policies);
  $("policies").tHead.replaceChildren(make("tr", "", make("th", "", `policy, last ${minutes(window.seconds)}`), ...columns.map((each) => make("th", "", each))));
  $("policies").tBodies[0].replaceChildren(
    ...policies.map(([name, counts]) => row(`${name || "others"}${said.policies[name] ? ` · ${said.policies[name].mode}` : ""}`, counts, false)),
    ...(policies.length > 1 ? [row("all", window, true)] : []),
    row("since the counters began", said.live.totals, policies.length < 2));
}

function showScores(said) {
  const counts = said.live.window.scores, threshold = said.model.threshold;
  const width = Math.max($("scores").clientWidth, 260), height = 180, bottom = 22, step = width / counts.length;
  const most = Math.sqrt(Math.max(...counts, 1));
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "How many requests got which score" });
  counts.forEach((n, i) => {
    const high = n ? Math.max((height - bottom - 14) * Math.sqrt(n) / most, 2) : 0;
    svg.append(draw("g", {}, draw("title", {}, `${(i / counts.length).toFixed(2)} to ${((i + 1) / counts.length).toFixed(2)}: ${count(n)}`),
      draw("rect", { class: (i + 0.5) / counts.length >= threshold ? "bot" : "human", x: i * step + 1, y: height - bottom - high, width: step - 2, height: high, rx: 2 })));
  });
  svg.append(draw("line", { x1: 0, x2: width, y1: height - bottom, y2: height - bottom }), draw("line", { class: "mark", x1: threshold * width, x2: threshold * width, y1: 4, y2: height - bottom }));
  svg.append(draw("text", { x: 0, y: height - 4 }, "0"), draw("text", { x: width, y: height - 4, "text-anchor": "end" }, "1"),
    draw("text", { x: threshold * width - 6, y: 14, "text-anchor": "end" }, `the model's threshold ${threshold.toFixed(3)}`));
  $("scores").replaceChildren(svg);
}

function showReasons(rows) {
  $("reasons").replaceChildren(...(rows.length ? rows.slice(0, 8).map((row) => {
    const bar = make("span", "");
    bar.style.width = `${100 * row.share}%`;
    const item = make("li", "", make("span", "text", row.said), make("span", "", share(row.share, 1)), make("div", "track", bar));
    item.title = row.reason;
    return item;
  }) : [make("li", "empty", "No bot was called so yet.")]));
}

/* What a margin is made of, as a table with beams. */
function parts(rows, margin) {
  const most = Math.max(...rows.map((row) => Math.abs(row.added)), 1e-9);
  const body = rows.map((row) => {
    const beam = make("span", row.added < 0 ? "against" : "for");
    beam.style.width = `${50 * Math.abs(row.added) / most}%`;
    const line = make("tr", "", make("td", "", signed(row.added)), make("td", "", make("div", "beam", beam)), make("td", "", row.said));
    line.title = row.name;
    return line;
  });
  return make("table", "parts", make("tbody", "", ...body, make("tr", "total", make("td", "", signed(margin)), make("td", ""), make("td", "", "the margin"))));
}

function decided(row, ...more) {
  return [
    make("div", "line", make("span", "muted", clock(row.time)), make("span", `score ${row.verdict}`, row.score.toFixed(3)), make("span", "", row.visitor || "no address"),
      make("span", "grow", `${row.method} ${row.host}${row.uri}`), ...more),
    make("div", "line indent", make("span", "grow", row.said), make("span", "muted mono", row.id), make("span", "muted", row.policy)),
    make("div", "agent indent", row.agent || "no agent"),
  ];
}

function refusal(row) {
  const summary = make("summary", "", ...decided(row));
  return make("div", "item", make("details", "", summary, make("div", "indent", row.parts.length ? parts(row.parts, row.margin) : make("p", "empty", "The model that decided is no longer served."))));
}

function person(row) {
  const did = [many(row.pages, "page"), many(row.parts, "part"), ...(row.brought ? ["a cookie brought back"] : [])].join(", ");
  return make("div", "item", ...decided(row, make("span", "tag bot", row.regretted ? "refused" : "let by")), make("div", "agent indent", did));
}

function shape(row) {
  const more = row.grows ? [make("span", "tag suspect", "grows")] : [];
  return make("div", "item", make("div", "line", make("span", `tag ${row.verdict}`, row.refused ? "refused" : row.verdict), make("span", "grow", row.agent || "no agent"), ...more),
    make("div", "agent", `${many(row.clients, "new client")}, ${many(row.networks, "network")}; ${count(row.recorded)} recorded, ${count(row.lately)} of them in the last minute${row.verdict === "bot" ? `; ${row.said}` : ""}`));
}

function card(list, rows) {
  list.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
}

function showModel(model) {
  card($("model"), [
    ["file", model.path], ["sha256", make("span", "mono", model.sha256.slice(0, 16))], ["made", day(model.trained)], ["served since", `${day(model.loaded)} ${clock(model.loaded)}`],
    ["threshold", model.threshold.toFixed(4)],
    ...(model.rows ? [["learned from", `${count(model.rows)} requests`]] : []),
    ...(model.recall !== null && model.false_positive_rate !== null ? [["held out", `${(100 * model.recall).toFixed(1)}% of bots found, ${(100 * model.false_positive_rate).toFixed(2)}% of people refused`]] : []),
    ["looks at", model.groups.map((name) => HELD[name] ?? name).join(", ")],
  ]);
}

function show(said) {
  const live = said.live;
  showHead(said);
  showFigures(live);
  showTraffic(live);
  showPolicies(said);
  showScores(said);
  showReasons(live.reasons);
  keep($("refusals"), live.refusals, (row) => row.id, refusal, "Nobody was refused lately.");
  $("people-section").hidden = !live.people.length;
  keep($("people"), live.people, (row) => row.id, person, "");
  $("shapes").replaceChildren(...(live.shapes.length ? live.shapes.slice(0, 8).map(shape) : [make("p", "empty", "Nothing was seen yet.")]));
  showModel(said.model);
  $("notes").replaceChildren(...live.notes.map((note) => make("li", "", note)));
  document.documentElement.dataset.messages = String(Number(document.documentElement.dataset.messages ?? 0) + 1);
}

/* ---- the stream ---- */

let paused = false, latest = null;

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
  if (!paused && latest) show(latest);
});

function watch() {
  const stream = new EventSource("live");
  stream.addEventListener("message", (message) => {
    latest = JSON.parse(message.data);
    if (!paused) show(latest);
  });
  stream.addEventListener("error", () => {
    $("state").className = "pill bad";
    $("state").textContent = "no connection";
    if (stream.readyState === EventSource.CLOSED) { /* refused: too many watch */
      stream.close();
      setTimeout(watch, 5000);
    }
  });
}

/* ---- the box ---- */

function explained(said) {
  const refused = said.refused ? "would be refused" : "would be let by";
  return [
    make("p", `verdict ${said.verdict}`, `${said.verdict}, score ${said.score.toFixed(4)}`),
    make("p", "", `${refused} under policy ${said.policy}: ${said.said}`),
    make("p", "note", `Read as ${said.read_as}.${said.missing.length ? ` Judged without ${said.missing.join(", ")}: behind the proxy the verdict may differ.` : ""}`),
    parts(said.parts, said.margin),
  ];
}

$("box").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = $("answer");
  try {
    const body = JSON.stringify({ text: $("pasted").value, address: $("address").value });
    const reply = await fetch("explain", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const said = await reply.json();
    answer.replaceChildren(...(reply.ok ? explained(said) : [make("p", "", said.error)]));
  } catch {
    answer.replaceChildren(make("p", "", "There was no answer."));
  }
});

watch();
