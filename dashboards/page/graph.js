// The dependency graph at one moment: who calls whom, how much, and how that goes.

import { h, say, set, svg, table } from "./dom.js";
import { cascade, edgeHealth, serviceHealth } from "./health.js";
import { BOX, curve, layout } from "./layout.js";
import { number, percent, clock } from "./time.js";
import { details } from "./details.js";

const ENDINGS = ["ok", "failed", "rejected", "timed_out"];
const BAR = BOX.width - 16;

const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

export const mount = (ctx) => {
  const { run } = ctx;
  const places = layout(run.services, run.edges, run.callees);
  const pick = (kind, name) => ctx.change({ sel: ctx.state.sel === `${kind}:${name}` ? null : `${kind}:${name}` });
  const press = (kind, name) => ({
    onclick: () => pick(kind, name),
    onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(kind, name); } },
  });
  const edges = run.edges.map((edge) => {
    const line = curve(places.at.get(edge.from), places.at.get(edge.to));
    const parts = {
      hit: svg("path", { d: line.path, class: "hit" }),
      path: svg("path", { d: line.path, class: "line", "marker-end": "url(#arrow)" }),
      label: svg("text", { x: line.x, y: line.y - 4, class: "edge-label", "text-anchor": "middle" }),
      badge: svg("text", { x: line.x, y: line.y + 12, class: "badge", "text-anchor": "middle" }),
    };
    const title = svg("title", {});
    const node = svg("g", { class: "edge", ...press("edge", edge.name) }, title, parts.hit, parts.path, parts.label, parts.badge);
    return { edge, node, title, ...parts };
  });
  const nodes = run.services.map((service) => {
    const { x, y } = places.at.get(service.name);
    const parts = {
      glyph: svg("text", { x: 8, y: 18, class: "glyph" }),
      word: svg("text", { x: 8, y: 33, class: "word" }),
      order: svg("text", { x: BOX.width - 6, y: -3, class: "order", "text-anchor": "end" }),
      bars: ENDINGS.map((ending) => svg("rect", { y: 38, height: 4, class: `share ${ending}` })),
    };
    const title = svg("text", { x: 23, y: 18, class: "title" }, short(service.title.replace(/^Customers: /, ""), 20));
    const box = svg("rect", { width: BOX.width, height: BOX.height, rx: service.customers ? 20 : 6, class: "box" });
    const node = svg("g", { transform: `translate(${x},${y})`, class: "node", tabindex: 0, role: "button", ...press("service", service.name) },
      box, parts.glyph, title, parts.word, parts.bars, parts.order);
    return { service, node, ...parts };
  });
  const arrow = svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto-start-reverse", markerUnits: "userSpaceOnUse" },
    svg("path", { d: "M0,0 L8,4 L0,8 z", class: "arrow" })));
  const drawing = svg("svg", { viewBox: `0 -12 ${places.width} ${places.height + 12}`, class: "graph", role: "group", "aria-label": "Dependency graph; the table below it says the same" },
    arrow, edges.map(({ node }) => node), nodes.map(({ node }) => node));
  // Small enough to see it whole, but not too small to read: then it scrolls.
  const least = places.width * 0.6;
  Object.assign(drawing.style, { minWidth: `${least}px`, maxWidth: `${places.width * 1.3}px` });

  const find = h("input", { type: "search", placeholder: "find a service  ( / )", "aria-label": "Find a service", value: ctx.state.q ?? "", oninput: () => ctx.change({ q: find.value || null }), "data-key": "/" });
  const toggle = (key, text) => h("button", { type: "button", onclick: () => ctx.change({ [key]: ctx.state[key] ? null : "1" }) }, text);
  const [ordering, isolating] = [toggle("cascade", "Show cascade"), toggle("only", "Only the neighbourhood")];
  const twin = h("details", { class: "twin" }, h("summary", {}, "The same as a table"));
  const legend = h("p", { class: "legend" }, h("span", { class: "key ok" }, "✓ answered"), h("span", { class: "key failed" }, "✕ failed"), h("span", { class: "key rejected" }, "⊘ rejected"), h("span", { class: "key timed_out" }, "◷ timed out"), " over the last minute; breaker ◑ half open, ◌ open; ↻ attempts for each request");
  const aside = details(ctx);
  const order = h("ol", { class: "cascade-list" });
  // A large region wants the whole width of a small screen: then the details are below.
  const node = h("div", { class: least > 1000 ? "split wide" : "split" },
    h("div", { class: "main" }, h("div", { class: "tools" }, find, ordering, isolating), h("div", { class: "canvas" }, drawing), legend, order, twin), aside.node);

  const near = () => {
    const [kind, name] = (ctx.state.sel ?? "").split(/:(.*)/);
    if (!ctx.state.only || !name) return null;
    const ends = kind === "edge" ? name.split("->") : [name];
    const found = new Set(ends);
    if (kind === "service") for (const edge of run.edges) {
      if (edge.from === name) found.add(edge.to);
      if (edge.to === name) found.add(edge.from);
    }
    return found;
  };

  let ordered = { revision: -1, list: [] };
  const update = () => {
    const moment = ctx.moment();
    if (ctx.state.cascade && run.revision - ordered.revision > (ordered.revision < 0 ? -1 : 20)) ordered = { revision: run.revision, list: cascade(run) };
    const first = ctx.state.cascade ? ordered.list.filter((one) => one.at <= moment) : [];
    const found = near();
    const query = (ctx.state.q ?? "").toLowerCase();
    const rows = [];
    for (const { service, node: group, glyph, word, order: rank, bars } of nodes) {
      const health = serviceHealth(run, service.name, moment, ctx.isNow());
      const { flow, state, down } = health;
      const matches = !query || `${service.name} ${service.title} ${service.system}`.toLowerCase().includes(query);
      const dim = (found && !found.has(service.name)) || !matches;
      const index = first.findIndex((one) => one.name === service.name);
      const words = `${health.word}${down.length && state !== "down" ? `, ${down.length} down` : ""}`;
      const bad = flow.share > 0 ? `, ${percent(flow.share)} bad` : "";
      set(group, {
        class: `node ${state}${dim ? " dim" : ""}${ctx.state.sel === `service:${service.name}` ? " selected" : ""}`,
        "aria-label": `${service.title}: ${words}, ${number(flow.requests)} requests a second${bad}`,
        "aria-pressed": ctx.state.sel === `service:${service.name}`,
        "data-service": service.name, "data-state": state,
      });
      say(glyph, health.glyph);
      say(word, flow.requests > 0 ? `${words} · ${number(flow.requests)}/s${bad}` : words);
      say(rank, index >= 0 ? `${index + 1}` : "");
      let x = 8;
      ENDINGS.forEach((ending, position) => {
        const width = flow.requests > 0 ? (flow[ending] / flow.requests) * BAR : 0;
        set(bars[position], { x: x.toFixed(1), width: Math.max(0, width).toFixed(1) });
        x += width;
      });
      rows.push([service.title, words, number(flow.requests), ...ENDINGS.map((ending) => percent(flow.requests ? flow[ending] / flow.requests : NaN))]);
    }
    for (const { edge, node: group, title, path, label, badge } of edges) {
      const { flow, state, breakers } = edgeHealth(run, edge, moment);
      const dim = found && !(found.has(edge.from) && found.has(edge.to));
      const selected = ctx.state.sel === `edge:${edge.name}`;
      const touched = ctx.state.sel === `service:${edge.from}` || ctx.state.sel === `service:${edge.to}`;
      const amplification = flow.requests > 0 ? flow.attempts / flow.requests : 0;
      set(group, { class: `edge ${state}${dim ? " dim" : ""}${selected ? " selected" : touched ? " touched" : ""}`, "data-edge": edge.name });
      set(path, { "stroke-width": (1 + Math.min(4, Math.log10(1 + flow.requests * 3) * 1.6)).toFixed(2) });
      say(label, `${number(flow.requests)}/s${amplification > 1.02 ? ` ↻${amplification.toFixed(1)}` : ""}`);
      say(badge, breakers.open ? `◌ ${breakers.open} of ${breakers.all} breakers open` : breakers.half ? `◑ ${breakers.half} half open` : "");
      set(badge, { visibility: breakers.open || breakers.half ? "visible" : "hidden" });
      say(title, `${edge.name}: ${number(flow.requests)} requests a second, ${percent(flow.share)} bad, ${number(flow.retries)} retries a second`);
    }
    set(ordering, { "aria-pressed": Boolean(ctx.state.cascade) });
    set(isolating, { "aria-pressed": Boolean(ctx.state.only) });
    order.replaceChildren(...first.map((one) => h("li", {}, `${run.service.get(one.name).title} at ${clock(run, one.at)}`)));
    if (twin.open) twin.replaceChildren(twin.firstChild, table(`Services at ${clock(run, moment)}`, ["service", "state", "requests/s", "answered", "failed", "rejected", "timed out"], rows));
    aside.update();
  };
  twin.addEventListener("toggle", update);
  return { node, update };
};
