"use strict";
// The operator's page: puts sections in place, counts ages, reads out charts. The server decides every state and every
// word. A section arrives as trees, ["tag", {attributes}, children...], from which the first paint was written too.
// Text becomes text nodes (no innerHTML) and nothing sets a style, so the policy default-src 'self' holds.
(function () {
  const $ = id => document.getElementById(id), root = document.documentElement;
  const SVG = new Set("svg path line rect text use g".split(" "));
  const HTML = new Set("a b button code dd div dl dt figcaption figure h1 h2 h3 li nav ol p small span table tbody td th thead time tr".split(" "));
  const ATTRIBUTE = /^(aria-[a-z]+|data-[a-z]+|class|id|role|scope|colspan|tabindex|type|hidden|datetime|width|height|x|y|x1|x2|y1|y2|rx|d|viewBox|preserveAspectRatio|visibility|href|title)$/;

  // ---- a tree becomes elements ---------------------------------------------------------------------------------
  function build(tree) {
    if (!Array.isArray(tree)) return document.createTextNode(tree);
    const [tag, attributes, ...children] = tree;
    if (!SVG.has(tag) && !HTML.has(tag)) throw new Error("unexpected element " + tag);
    const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (ATTRIBUTE.test(name) && (name !== "href" || /^(https?:|[?#]|\/(?![/\\]))/.test(value))) node.setAttribute(name, value);
    }
    node.append(...children.map(build));
    return node;
  }

  // Replaces the sections that arrived. Focus stays on the element that has it.
  const FOCUS = "a, button, code[tabindex], .plotbox", shown = {};
  function show(sections) {
    for (const [id, trees] of Object.entries(sections)) {
      const json = JSON.stringify(trees);
      if (shown[id] === json) continue;
      shown[id] = json;
      if (id === "title") document.title = trees;
      else if (id === "level") root.dataset.level = trees;
      else if ($(id)) {
        const place = $(id), held = place.contains(document.activeElement) && key(document.activeElement);
        const before = id === "sentence" && plain(place);
        // Chromium blurs an element that it removes, which would end the reading of a chart.
        const reading = { ...back };
        place.replaceChildren(...trees.map(build));
        Object.assign(back, reading);
        enhance(place);
        if (held) [...place.querySelectorAll(FOCUS)].find(node => key(node) === held)?.focus({ preventScroll: true });
        if (id === "sentence" && plain(place) !== before) $("announce").textContent = place.textContent;
      }
    }
  }
  // What an element is about. It stays the same when rows come and go, so focus never moves to another signal.
  function key(node) {
    const row = node.closest("[data-signal], [data-instance], [data-alert]")?.dataset ?? {};
    const what = node.dataset.copy || node.dataset.label || node.className || (node.closest(".pager") ? node.textContent : node.getAttribute("href"));
    return [row.signal || row.instance || row.alert, node.localName, what || node.textContent].join(" ");
  }
  // The sentence without its ages: the live region repeats it on a change, not once a second.
  function plain(place) {
    const copy = place.cloneNode(true);
    for (const age of copy.querySelectorAll(".age, time")) age.remove();
    return copy.textContent;
  }
  function enhance(place) {
    for (const button of place.querySelectorAll("button[data-copy]")) button.hidden = false;
    for (const plot of place.querySelectorAll(".plotbox")) chart(plot);
    tick(place);
  }

  // ---- charts: pointer and arrow keys read the values ----------------------------------------------------------
  // A reader stays at the chosen minute while the chart is written anew.
  const back = {};
  function chart(plot) {
    const figure = plot.closest("figure"), when = figure.querySelector(".when"), hand = plot.querySelector(".hand");
    const lines = [...figure.querySelectorAll("[data-v]")].map(b => ({ b, now: b.textContent, name: b.previousSibling?.textContent || "", values: b.dataset.v.split(" ") }));
    if (!lines.length) return;
    const last = lines[0].values.length - 1;
    const present = when.textContent;
    let cursor = Math.max(0, last - (back[plot.dataset.label] ?? 0));
    function read(at) {
      back[plot.dataset.label] = last - at;
      const time = at === last ? present : minutes.format(+plot.dataset.end - (last - at) * 6e4);
      for (const { b, now, values } of lines) b.textContent = at === last ? now : values[at] === "-" ? b.dataset.none : values[at] + b.dataset.unit;
      when.textContent = time;
      for (const x of ["x1", "x2"]) hand.setAttribute(x, at / last * 100 + "%");
      hand.setAttribute("visibility", at === last ? "hidden" : "visible");
      plot.setAttribute("aria-valuenow", at - last);
      plot.setAttribute("aria-valuetext", time + ": " + lines.map(({ b, name }) => name + b.textContent).join(", "));
    }
    for (const [name, value] of Object.entries({ role: "slider", tabindex: 0, "aria-valuemin": -last, "aria-valuemax": 0, "aria-label": plot.dataset.label })) plot.setAttribute(name, value);
    plot.onpointermove = e => { const box = plot.getBoundingClientRect(); read(Math.round(Math.min(1, Math.max(0, (e.clientX - box.left) / box.width)) * last)); };
    plot.onpointerleave = plot.onblur = () => read(cursor = last);
    plot.onkeydown = e => {
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -last, End: last }[e.key];
      if (step) { e.preventDefault(); read(cursor = Math.min(last, Math.max(0, cursor + step))); }
    };
    read(cursor);
  }

  // ---- clock, times and ages: the server's clock in the browser's zone ------------------------------------------
  const format = options => new Intl.DateTimeFormat("en-GB", options);
  const HM = { hour: "2-digit", minute: "2-digit" };
  const minutes = format(HM), seconds = format({ ...HM, second: "2-digit" }), day = format({ day: "numeric", month: "short" });
  const year = format({ day: "numeric", month: "short", year: "numeric" }), zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });
  let offset = 0;
  const now = () => Date.now() + offset;
  function span(ms) {
    const s = Math.max(0, Math.floor(ms / 1000)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    if (m < 1) return s + " s";
    if (m < 10) return m + " min " + s % 60 + " s";
    return m < 60 ? m + " min" : h < 24 ? h + " h " + m % 60 + " min" : Math.floor(h / 24) + " d " + h % 24 + " h";
  }
  // Seconds only for what is recent, the day only if it is not today.
  function moment(ms) {
    const age = now() - ms;
    if (age < 3.6e6) return seconds.format(ms);
    if (day.format(ms) === day.format(now()) && age < 8.64e7) return minutes.format(ms);
    return age < 3e10 ? day.format(ms) + " " + minutes.format(ms) : year.format(ms);
  }
  function write(node, text) { if (node.textContent !== text) node.textContent = text; }
  function tick(place) {
    for (const node of place.querySelectorAll("[data-since]")) write(node, span(now() - node.dataset.since));
    for (const node of place.querySelectorAll("time")) {
      if (!node.title) node.title = node.textContent;
      write(node, moment(Date.parse(node.dateTime)));
    }
  }

  // ---- events: sections that changed ---------------------------------------------------------------------------
  let source, heard = Date.now(), retry;
  function connect() {
    clearTimeout(retry);
    source?.close();
    const query = location.search.slice(1);
    source = new EventSource(root.dataset.prefix + "/events?page" + (query ? "&" + query : ""));
    const on = (name, act) => source.addEventListener(name, event => {
      heard = Date.now();
      if (root.dataset.live !== "on") live(true);
      act(JSON.parse(event.data));
    });
    on("hello", hello => { offset = Date.parse(hello.now) - Date.now(); });
    on("ping", ping => { offset = Date.parse(ping.now) - Date.now(); });
    on("section", show);
    // The browser repeats the request after a lost connection, but not after a refusal.
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) again(); };
  }
  function again() { clearTimeout(retry); retry = setTimeout(connect, 1000 + Math.random() * 4000); }
  // What is shown may be old: the page says so before anything else, and loses its colour.
  function live(is) {
    root.dataset.live = is ? "on" : "off";
    if (!is) {
      $("lost").textContent = seconds.format(heard + offset);
      const links = [...document.querySelectorAll("#instances a.addr")].map(a => build(["a", { href: a.href }, a.textContent]));
      $("others").replaceChildren(...links.flatMap(link => [link, " "]));
    }
    $("offline").hidden = is;
  }

  // ---- links that change the choice of signals, and copying -----------------------------------------------------
  document.addEventListener("click", async event => {
    const link = event.target.closest("a[href^='?']"), button = event.target.closest("[data-copy]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      history.pushState(null, "", link.getAttribute("href"));
      connect();
      if (!link.closest("#signals")) { $("signals").scrollIntoView(); $("h-signals")?.focus({ preventScroll: true }); }
    } else if (button) {
      try { await navigator.clipboard.writeText(button.dataset.copy); button.classList.add("copied"); }
      catch (_) { getSelection().selectAllChildren(button.previousSibling); }
      setTimeout(() => button.classList.remove("copied"), 2000);
    }
  });
  addEventListener("popstate", connect);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", event => { if (event.persisted) connect(); });

  // ---- the theme is a cookie, so that the first paint has it ----------------------------------------------------
  const THEMES = ["system", "light", "dark"];
  function theme(value) {
    root.dataset.theme = value;
    $("theme").lastChild.textContent = ": " + value;
  }
  $("theme").hidden = false;
  $("theme").onclick = () => {
    theme(THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length]);
    document.cookie = "theme=" + root.dataset.theme + "; path=" + (root.dataset.prefix || "/") + "; max-age=31536000; samesite=lax";
  };

  theme(root.dataset.theme);
  enhance(document);
  connect();
  setInterval(() => {
    const name = zone.formatToParts(now()).find(part => part.type === "timeZoneName").value;
    $("clock").textContent = seconds.format(now()) + " " + name;
    tick(document);
    if (Date.now() - heard > 1e4) {
      if (root.dataset.live !== "off") live(false);
      // A connection that is open and silent counts as lost.
      if (source.readyState === EventSource.OPEN && Date.now() - heard > 1.5e4) { source.close(); again(); }
    }
  }, 1000);
})();
