// Functions of the browser tests. They run in the page, in front of each script of a test (view.rs), and change nothing.

const $ = id => document.getElementById(id);

// What a reader sees of a node: ages as {age}, times with their date and in full, without the words for screen readers.
function words(node) {
  const copy = node.cloneNode(true);
  for (const unseen of copy.querySelectorAll(".vh, svg, [hidden]")) unseen.remove();
  for (const age of copy.querySelectorAll(".age")) age.textContent = "{age}";
  for (const time of copy.querySelectorAll("time")) time.textContent = time.dateTime.replace("T", " ").replace("Z", " UTC");
  return copy.textContent.replace(/\s+/g, " ").trim();
}

function state() {
  const list = (selector, of) => Object.fromEntries([...document.querySelectorAll(selector)].map(of));
  return {
    sentence: words($("sentence")),
    level: document.documentElement.dataset.level,
    live: document.documentElement.dataset.live,
    figures: list("[data-figure]", node => [node.dataset.figure, words(node.querySelector("b"))]),
    instances: list("[data-instance]", node => [node.dataset.instance, node.dataset.state]),
    states: list("[data-instance]", node => [node.dataset.instance, words(node.querySelector("[data-label=State]"))]),
    charts: list("figure[data-level]", node => [words(node.querySelector("h3")), node.dataset.level]),
    redis: words($("stores-text")),
  };
}

// Keeps every state that the page shows from now on, with the time. A state is what a reader sees between two tasks of the
// browser, so every section of one event is in it.
function record() {
  window.recorded = [];
  const note = () => {
    const present = state(), text = JSON.stringify(present);
    if (recorded.at(-1)?.text !== text && recorded.length < 5000) recorded.push({ text, at: Date.now(), state: present });
  };
  note();
  window.observer?.disconnect();
  window.observer = new MutationObserver(note);
  observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
}

// A section without what the browser adds or counts on: for a comparison of two paints of one state.
const SECTIONS = ["sentence", "seen", "wrong", "figures", "instances-count", "instances", "c-failure", "c-latency", "c-changes",
  "c-heartbeats", "stores-text", "stores", "signals", "history-asof", "history", "recovery", "settings"];
function bare(place) {
  const copy = place.cloneNode(true);
  for (const node of copy.querySelectorAll(".age")) node.textContent = "";
  for (const node of copy.querySelectorAll("time")) { node.textContent = ""; node.removeAttribute("title"); }
  for (const node of copy.querySelectorAll("button")) node.removeAttribute("hidden");
  for (const node of copy.querySelectorAll(".plotbox"))
    for (const { name } of [...node.attributes]) if (/^(aria-|role$|tabindex$)/.test(name)) node.removeAttribute(name);
  for (const node of copy.querySelectorAll(".hand")) for (const name of ["x1", "x2", "visibility"]) node.removeAttribute(name);
  copy.normalize();
  return [...copy.childNodes].map(written).join("").split("\n");
}
// A node as text, one line for each tag and each text, with the attributes in their order by name.
function written(node) {
  if (node.nodeType === 3) return node.textContent ? node.textContent + "\n" : "";
  const attributes = [...node.attributes].map(({ name, value }) => ` ${name}=${JSON.stringify(value)}`).sort().join("");
  return `<${node.localName}${attributes}>\n${[...node.childNodes].map(written).join("")}`;
}

// The sections in which this page differs from the page that the server writes now, each with the first line that differs.
async function differences() {
  const text = await (await fetch(location.pathname + location.search, { cache: "no-store" })).text();
  const fresh = new DOMParser().parseFromString(text, "text/html");
  return SECTIONS.flatMap(id => {
    const [ours, theirs] = [document, fresh].map(page => bare(page.getElementById(id)));
    const at = ours.findIndex((line, at) => line !== theirs[at]);
    return at < 0 && ours.length === theirs.length ? [] : [`${id}: ${ours.at(at)} is ${theirs.at(at)}`];
  });
}

// ---- layout ----------------------------------------------------------------------------------------------------

function name(node) {
  return node.tagName.toLowerCase() + (node.id ? "#" + node.id : "") + [...node.classList].map(one => "." + one).join("") +
    " " + JSON.stringify(node.textContent.trim().slice(0, 40));
}
const isShown = node => node.checkVisibility({ visibilityProperty: true }) && node.getClientRects().length > 0;

// Elements that reach beyond the right edge, and texts that spill over what is next to them.
function overflow() {
  const width = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} wide, the window ${width}`);
  if (found.length) for (const node of document.querySelectorAll("body *"))
    if (isShown(node) && node.getBoundingClientRect().right > width + 1 && !node.closest(".vh, .sprite")) found.push(name(node));
  for (const box of document.querySelectorAll("th, td, dd, dt, figcaption, .legend > span, .lane > span, .do, .what"))
    if (isShown(box) && box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX === "visible" && getComputedStyle(box).display !== "inline") found.push(`spills over its place: ${name(box)}`);
  return found.slice(0, 12);
}

// ---- accessibility: the rules that this page could break. axe-core is not vendored: 560 kB under another licence for
// ---- a page of some forty kinds of elements.

const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex='0']";

function accessibility() {
  const found = [], say = (rule, node) => found.push(`${rule}: ${name(node)}`);
  const all = selector => [...document.querySelectorAll(selector)];
  const labelOf = node => (node.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean).map(id => $(id)?.textContent || "").join(" ").trim()
    || (node.getAttribute("aria-label") || "").trim();
  if (!document.documentElement.lang) found.push("the document has no language");
  if (!document.title.trim()) found.push("the document has no title");
  if (!/width=device-width/.test(document.querySelector("meta[name=viewport]")?.content) || /maximum-scale|user-scalable/.test(document.querySelector("meta[name=viewport]").content)) found.push("the viewport forbids zoom");
  const ones = all("h1").filter(isShown);
  if (ones.length !== 1) found.push(`${ones.length} h1`);
  if (all("main").length !== 1) found.push("not one main");
  // Sections and headings.
  for (const section of all("main section")) {
    if (!section.textContent.trim()) continue;
    if (!labelOf(section)) say("a section without a name", section);
    if (!section.querySelector("h1, h2")) say("a section without a heading", section);
  }
  let before = 0;
  for (const heading of all("h1, h2, h3, h4").filter(isShown)) {
    const level = +heading.tagName[1];
    if (level > before + 1) say(`h${level} after h${before}`, heading);
    if (!heading.textContent.trim()) say("an empty heading", heading);
    before = level;
  }
  // Ids and references.
  const ids = all("[id]").map(node => node.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) found.push(`two elements have the id ${id}`);
  for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls"])
    for (const node of all(`[${attribute}]`)) for (const id of node.getAttribute(attribute).split(" ")) if (!$(id)) say(`${attribute} names no element`, node);
  for (const link of all("a[href^='#']")) if (!$(link.getAttribute("href").slice(1))) say("a link to nowhere", link);
  // Tables: header cells, and roles for the layout of phones.
  for (const table of all("table")) {
    if (!table.querySelector("thead th[scope=col]")) say("a table without header cells", table);
    for (const cell of table.querySelectorAll("th")) if (!cell.scope) say("a header cell without scope", cell);
    for (const cell of table.querySelectorAll("thead th")) if (!cell.textContent.trim()) say("an empty header cell", cell);
    for (const part of table.querySelectorAll("thead, tbody, tr, th, td")) if (!part.getAttribute("role")) say("a part of a table without a role", part);
    if (table.getAttribute("role") !== "table") say("a table without its role", table);
    for (const row of table.querySelectorAll("tbody tr:not(.audit)")) if (!row.querySelector("th[scope=row]")) say("a row without a header cell", row);
  }
  // Names of controls, charts and images.
  for (const node of all(`${FOCUSABLE}, [role=slider], [role=img]`).filter(isShown)) {
    const text = labelOf(node) || node.textContent.trim() || node.title;
    if (!text) say("a control without a name", node);
    // What a voice user reads is what the control is called.
    const seen = words(node);
    if (node.getAttribute("aria-label") && node.matches("a, button") && seen && !node.getAttribute("aria-label").includes(seen)) say("the name does not contain the text", node);
  }
  for (const node of all("[role=slider]")) for (const value of ["aria-valuenow", "aria-valuemin", "aria-valuemax", "aria-valuetext"]) if (!node.hasAttribute(value)) say(`a slider without ${value}`, node);
  for (const node of all("svg:not(svg svg)")) if (node.getAttribute("aria-hidden") !== "true" && !labelOf(node)) say("a picture without a name", node);
  for (const node of all("[aria-hidden=true]")) if (node.querySelector(FOCUSABLE)) say("focus inside what is hidden", node);
  if (!document.querySelector("[role=status], [aria-live]")) found.push("there is no live region");
  // Targets of at least 24 pixels, unless they are part of a sentence, which WCAG 2.5.8 exempts.
  for (const node of all("a[href], button, [role=slider]").filter(isShown)) {
    const box = node.getBoundingClientRect();
    const inSentence = getComputedStyle(node).display === "inline" && [...node.parentElement.childNodes].some(other => other.nodeType === 3 && other.textContent.trim().length > 1);
    if ((box.width < 24 || box.height < 24) && !inSentence && !node.matches(".skip:not(:focus)")) say(`a target of ${Math.round(box.width)} by ${Math.round(box.height)} pixels`, node);
  }
  return [...new Set(found)].slice(0, 40);
}

// Texts whose contrast with their background is below WCAG AA: 4.5, or 3 for large text.
function contrast() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  // Every notation of a colour, light-dark() and oklch() included, as red, green, blue and alpha.
  const parsed = new Map();
  function colour(text) {
    if (!parsed.has(text)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = text;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      parsed.set(text, [r, g, b, a / 255]);
    }
    return parsed.get(text);
  }
  const over = ([r, g, b, a], below) => [r, g, b].map((value, at) => value * a + below[at] * (1 - a));
  const luminance = rgb => {
    const [r, g, b] = rgb.map(value => value / 255).map(value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ratio = (one, other) => { const [a, b] = [luminance(one), luminance(other)].sort((a, b) => b - a); return (a + .05) / (b + .05); };
  function background(node) {
    const chain = [];
    for (let at = node; at; at = at.parentElement) chain.unshift(at);
    return chain.reduce((below, at) => over(colour(getComputedStyle(at).backgroundColor), below), [255, 255, 255]);
  }
  const found = new Set();
  let lowest = 21;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !isShown(node) || node.closest(".vh, .sprite, [hidden]") || node.matches(".skip")) continue;
    const style = getComputedStyle(node), size = parseFloat(style.fontSize), weight = +style.fontWeight;
    const behind = background(node);
    const front = over(colour(node instanceof SVGElement ? style.fill : style.color), behind);
    const needed = size >= 24 || (size >= 18.66 && weight >= 700) ? 3 : 4.5;
    const got = ratio(front, behind);
    lowest = Math.min(lowest, got);
    if (got < needed) found.add(`${got.toFixed(2)} below ${needed}: ${name(node)} ${front.map(Math.round)} on ${behind.map(Math.round)}`);
  }
  return { found: [...found].slice(0, 20), lowest };
}

// What an element is for a reader. It stays the same while the page updates.
function identity(node) {
  if (!node || node === document.body) return null;
  const row = node.closest("[data-signal], [data-instance], [data-alert]");
  const what = node.dataset.copy || node.dataset.label || node.id || (node.matches(".expand") ? "expand" : node.getAttribute("href"));
  return `${row ? row.dataset.signal || row.dataset.instance || row.dataset.alert : ""} ${node.localName} ${what || node.textContent}`.trim();
}
const focused = () => identity(document.activeElement);

// Every element that the Tab key should reach.
const reachable = () => [...document.querySelectorAll(FOCUSABLE)].filter(isShown).map(identity);
