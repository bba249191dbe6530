"use strict";
// The static figures of the page give way to views of Vega's, which these controls set. Whatever fails
// leaves the static figures where they are.
const page = JSON.parse(document.getElementById("page-data").textContent);
const state = { hidden: [], measure: "score", along: "epochs", margin: page.margin.declared * page.margin.drawn, outcomes: null };
const views = new Map();
const phone = matchMedia("screen and (max-width: 44rem)");
// A frame without an origin, such as that of MLflow's artifacts, may neither save files nor open pages.
const framed = window.parent !== window && window.origin === "null";
const byId = (id) => document.getElementById(id);

async function loadVega() {
  const packed = Uint8Array.from(atob(byId("vega").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

// --- specs: the numbers are in the page once

function datasetsIn(part, found = new Set()) {
  if (part?.data?.name) found.add(part.data.name);
  if (part && typeof part === "object") Object.values(part).forEach((each) => datasetsIn(each, found));
  return found;
}

function specOf(figure) {
  const kind = (phone.matches ? "narrow" : "wide") + (figure.linear ? "-linear" : "");
  const spec = structuredClone(page.figures[figure.name].specs[kind]);
  spec.datasets = Object.fromEntries([...datasetsIn(spec)].map((name) => [name, page.datasets[name]]));
  (spec.params ?? []).forEach((each) => { if (each.name in state) each.value = state[each.name]; });
  return spec;
}

// --- views

async function draw(figure) {
  const last = views.get(figure.name), holder = document.createElement("div");
  const made = await vegaEmbed(holder, specOf(figure), {
    mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false, hover: true, tooltip: showTip,
    loader: { target: "_blank", rel: "noopener" }, logLevel: 1,
  });
  const svg = holder.querySelector("svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", figure.label);
  figure.live.replaceChildren(holder);
  figure.box.classList.add("explored");
  views.set(figure.name, made);
  last?.finalize();
}

function follow() {
  for (const { view, spec } of views.values()) {
    (spec.params ?? []).forEach(({ name }) => { if (name in state) view.signal(name, state[name]); });
    view.runAsync();
  }
}

function drawWhenNear(figures) {
  const near = new IntersectionObserver((entries) => entries.filter((each) => each.isIntersecting).forEach((each) => {
    near.unobserve(each.target);
    const figure = figures.find((one) => one.box === each.target);
    draw(figure).catch((error) => fail(figure, error));
  }), { rootMargin: "100% 0px" });
  const again = () => figures.forEach((figure) => { near.unobserve(figure.box); near.observe(figure.box); });
  phone.addEventListener("change", () => matchMedia("print").matches || again());
  again();
}

function fail(figure, error) {
  figure.box.classList.remove("explored");
  console.warn(`${figure.name}: ${error}`);
}

// --- what a pointer meets

const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
tip.setAttribute("role", "tooltip");

function showTip(_, event, item, value) {
  const there = value !== null && value !== undefined && value !== "";
  tip.hidden = !there;
  if (!there) return;
  const lines = typeof value === "object" ? Object.entries(value) : [["", value]];
  if (item?.href && !framed) lines.push(["", "Click: its run in MLflow"]);
  tip.replaceChildren(...lines.map(([key, text]) => {
    const line = document.createElement("div"), name = document.createElement("span");
    name.textContent = key;
    line.append(...(key ? [name, " "] : []), String(text));
    return line;
  }));
  const { width, height } = tip.getBoundingClientRect();
  const left = event.clientX + 14 + width < innerWidth ? event.clientX + 14 : Math.max(4, event.clientX - 14 - width);
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 4))}px`;
}

// --- a figure's own menu

function menu(figure) {
  const bar = Object.assign(document.createElement("div"), { className: "menu" });
  if (page.figures[figure.name].specs["wide-linear"]) {
    bar.append(button("Linear rates", (own) => {
      figure.linear = !figure.linear;
      own.setAttribute("aria-pressed", String(figure.linear));
      return draw(figure);
    }, "false"));
  }
  const reset = button("Reset zoom", () => draw(figure));
  reset.className = "reset";
  if (zooms(figure)) bar.append(reset);
  if (!framed) {
    const csv = button("CSV", () => save(new Blob([csvOf(figure)], { type: "text/csv" }), figure, "csv"));
    const svg = button("SVG", async () => save(new Blob([await svgOf(figure)], { type: "image/svg+xml" }), figure, "svg"));
    const png = button("PNG", async () => save(await pngOf(await svgOf(figure)), figure, "png"));
    [csv, svg, png].forEach((each) => each.setAttribute("aria-label", `Save ${each.textContent} of “${figure.title}”`));
    bar.append(Object.assign(document.createElement("span"), { textContent: "Save" }), csv, svg, png);
  }
  return bar;
}

// On a phone a finger scrolls the page.
const zooms = (figure) => !phone.matches && JSON.stringify(page.figures[figure.name].specs.wide).includes('"bind":"scales"');

function button(text, act, pressed) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  if (pressed) made.setAttribute("aria-pressed", pressed);
  made.addEventListener("click", () => act(made));
  return made;
}

function save(blob, figure, ending) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(blob), download: `${page.study}-${figure.name}.${ending}`,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// What a spreadsheet would run as a formula gets a quote before it, as in the tables beside the page.
function csvOf(figure) {
  const text = page.datasets[page.figures[figure.name].table];
  return text.replace(/(^|,)("?)(?=[=+@\t]|-(?![\d.]))/gm, "$1$2'");
}

async function svgOf(figure) {
  if (!views.has(figure.name)) await draw(figure);
  const text = await views.get(figure.name).view.toSVG();
  return text.replaceAll("currentColor", page.ink).replaceAll("var(--figure-paper, #fff)", "#fff");
}

async function pngOf(svg, scale = 2) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: scale * image.width, height: scale * image.height });
  const paint = canvas.getContext("2d");
  paint.fillStyle = "#fff";
  paint.fillRect(0, 0, canvas.width, canvas.height);
  paint.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// --- the controls above all figures

function chooseArms() {
  const boxes = [...document.querySelectorAll("#arms input")];
  const choose = () => {
    state.hidden = boxes.filter((box) => !box.checked).map((box) => box.value);
    document.querySelectorAll("[data-arm]").forEach((row) => { row.hidden = state.hidden.includes(row.dataset.arm); });
    follow();
  };
  boxes.forEach((box) => box.addEventListener("change", choose));
  byId("all-arms").addEventListener("click", () => { boxes.forEach((box) => { box.checked = true; }); choose(); });
}

function chooseAxes() {
  for (const name of ["measure", "along"]) {
    byId(name)?.addEventListener("change", (event) => { state[name] = event.target.value; follow(); });
  }
}

// --- another margin, read afterwards

const RELATIONS = { ">": (a, b) => a > b, ">=": (a, b) => a >= b, "<": (a, b) => a < b, "<=": (a, b) => a <= b };

// Bounds are null where they are not known, and meet no condition; higher is better.
function outcomeOf(low, high, margin) {
  const bounds = { low: low ?? NaN, high: high ?? NaN };
  return page.outcomes.find((row) => row.conditions.every(
    ([bound, relation, than]) => RELATIONS[relation](bounds[bound], than === "high" ? bounds.high : than * margin)));
}

function readMargin() {
  const slider = byId("margin");
  if (!slider) return;
  const { declared, drawn, scale, unit, steps } = page.margin;
  const words = (value) => `${Number((scale * value).toPrecision(6))} ${unit}`.trim();
  const move = () => {
    const margin = (slider.value / steps) * declared, other = margin !== declared;
    const read = page.verdicts.map((verdict) => (
      verdict.barred ? verdict : outcomeOf(verdict.low, verdict.high, margin)));
    Object.assign(state, { margin: margin * drawn, outcomes: other ? read.map((each) => each.outcome) : null });
    slider.setAttribute("aria-valuetext", words(margin));
    byId("margin-value").textContent = words(margin);
    page.verdicts.forEach((verdict, i) => {
      const note = byId(verdict.row).querySelector(".afterwards");
      note.hidden = !other;
      note.textContent = `read afterwards, with ${words(margin)}: ${read[i].outcome}`;
    });
    const said = page.verdicts.map((verdict, i) => (verdict.primary ? `${verdict.arm}: ${read[i].outcome}` : "")).filter(Boolean);
    byId("reading").classList.toggle("other", other);
    byId("reading").textContent = other
      ? `Read afterwards, with a margin of ${words(margin)} in place of the declared ${words(declared)}, the primary question would read: ${said.join("; ")}.`
      : `The declared margin, ${words(declared)}: the answers are those of the study.`;
    follow();
  };
  slider.addEventListener("input", move);
  byId("declared").addEventListener("click", () => { slider.value = steps; move(); });
  move();
}

// --- begin

(async () => {
  await loadVega();
  const figures = Object.keys(page.figures).filter((name) => byId(`figure-${name}`)).map((name) => {
    const box = byId(`figure-${name}`), static_ = box.querySelector("svg");
    const live = Object.assign(document.createElement("div"), { className: "live" });
    box.querySelector(".static").after(live);
    return { name, box, live, linear: false, label: static_.getAttribute("aria-label"), title: page.figures[name].title };
  });
  figures.forEach((figure) => figure.live.after(menu(figure)));
  document.body.append(tip);
  chooseArms();
  chooseAxes();
  readMargin();
  byId("controls").querySelector("details").open = !phone.matches;
  byId("controls").hidden = false;
  drawWhenNear(figures);
})().catch((error) => console.warn(`the figures stay as they are: ${error}`));
