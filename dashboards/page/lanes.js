// Swimlanes: a lane a system; published impact above, observed below, and what people did across all of them.

import { Axis, scrubs } from "./axis.js";
import { h, set, svg, table } from "./dom.js";
import { clock, later } from "./time.js";
import { marks } from "./timeline.js";

const [LEFT, WIDTH, LANE, HEAD] = [190, 1200, 38, 64];

const overlaps = (window, from, to) => window[0] < to && window[1] > from;

// Lanes of the run's systems first, then those that are known by a condition of their own, then what was published of
// systems that it does not have.
const lanesOf = (run) => {
  const published = (name) => run.published.filter((window) => window.system === name);
  const own = run.systems.map((system) => ({ name: system.name, system, published: published(system.name), milestones: run.milestones.filter((one) => one.system === system.name) }));
  const names = new Set(own.map((lane) => lane.name));
  const told = run.published.filter((window) => window.from !== null).map((window) => window.system);
  const others = [...new Set([...Object.keys(run.windows), ...told])].filter((name) => !names.has(name));
  const isHere = (name) => run.services.some((service) => service.name === name || service.system === name);
  const milestones = (name) => run.milestones.filter((one) => one.system === name);
  return [...own, ...others.map((name) => ({ name, system: run.windows[name] ? { windows: run.windows[name] } : null, published: published(name), milestones: milestones(name), absent: isHere(name) ? "no customers of its own" : "not in this run" }))];
};

// How much earlier or later impact began and ended than published, over all windows of a lane.
const differences = ({ system, published }, end) => {
  const first = published.find((window) => window.from !== null);
  const last = published.findLast?.((window) => window.to !== null);
  if (!system?.windows.length || !first) return {};
  const [onset, recovery] = [system.windows[0][0] - first.from, system.windows.at(-1)[1]];
  const over = last && recovery < end - 300 && last.to <= end;
  return { onset: later(onset), recovery: over ? later(recovery - last.to) : null };
};

export const mount = (ctx) => {
  const { run } = ctx;
  const drawing = svg("svg", { class: "lanes", role: "img", "aria-label": "Impact by system over time; the table below says the same" });
  const cursor = svg("line", { class: "cursor", y1: 0 });
  const note = h("p", { class: "legend" }, h("span", { class: "key published" }, "▭ published"), h("span", { class: "key observed" }, "▬ observed here"), " ⚡ trigger, ▲ operators, ✖ fault, ◆ setting, ◇ milestone published, ◈ milestone here. Press anywhere to go to that moment.");
  const twin = h("details", { class: "twin" }, h("summary", {}, "The same as a table"));
  const said = h("div", { class: "marks" });
  const node = h("div", { class: "main" }, h("div", { class: "canvas" }, drawing), note, said, twin);
  let axis = new Axis(run, LEFT, WIDTH - 10);
  scrubs(drawing, () => axis, (moment) => ctx.change({ at: moment }));

  const bar = (window, y, height, kind) => {
    const [from, to] = [Math.max(window[0], axis.from), Math.min(window[1], axis.to)];
    if (to <= from) return null;
    return svg("rect", { x: axis.x(from).toFixed(1), y, width: Math.max(1.5, axis.x(to) - axis.x(from)).toFixed(1), height, class: kind });
  };

  // How bad it is within the windows: the share of requests that went unanswered, a slice every few pixels. Slices that are
  // equally bad are one path: a shape each would be thousands, and a frame's work for nothing.
  const shares = (lane, y) => {
    const [slices, levels] = [160, 8];
    const step = (axis.to - axis.from) / slices;
    const width = axis.x(axis.from + step) - axis.x(axis.from) + 0.3;
    const paths = new Map();
    for (let index = 0; index < slices; index += 1) {
      const at = axis.from + (index + 1) * step;
      if (at > run.end + step) break;
      const sum = (key) => run.rate(`system.${lane.name}.${key}`, at, Math.max(step, run.window));
      const asked = sum("requests");
      const share = asked > 0 ? (sum("failed") + sum("rejected")) / asked : 0;
      if (share <= 0.005) continue;
      const level = Math.round(Math.min(1, share) * levels);
      paths.set(level, `${paths.get(level) ?? ""}M${axis.x(at - step).toFixed(1)} ${y}h${width.toFixed(1)}v12h-${width.toFixed(1)}z`);
    }
    return [...paths].map(([level, d]) => svg("path", { d, class: "share-slice", opacity: (0.15 + 0.85 * (level / levels)).toFixed(2) }));
  };

  const draw = () => {
    const lanes = lanesOf(run);
    const height = HEAD + lanes.length * LANE + 8;
    set(drawing, { viewBox: `0 0 ${WIDTH} ${height}` });
    drawing.style.minWidth = "720px";
    const ticks = axis.ticks().map(([x, text]) => [svg("line", { x1: x, x2: x, y1: HEAD - 14, y2: height, class: "tick" }), svg("text", { x, y: HEAD - 18, class: "tick-text", "text-anchor": "middle" }, text)]);
    const drawnMarks = marks(run).filter((mark) => mark.at >= axis.from && mark.at <= axis.to).map((mark, index) => {
      const x = axis.x(mark.at);
      const span_ = mark.until && svg("rect", { x, y: HEAD - 12, width: Math.max(1, axis.x(Math.min(mark.until, axis.to)) - x), height: height - HEAD + 4, class: `span ${mark.kind}` });
      return svg("g", { class: `mark ${mark.kind}`, "data-mark": mark.id ?? "" }, svg("title", {}, `${clock(run, mark.at)} ${mark.text}`), span_,
        svg("line", { x1: x, x2: x, y1: HEAD - 12, y2: height }), svg("text", { x, y: 14 + (index % 2) * 14, "text-anchor": "middle" }, mark.glyph));
    });
    const rows = lanes.map((lane, index) => {
      const y = HEAD + index * LANE;
      const { onset, recovery } = differences(lane, run.end);
      const diamonds = lane.milestones.flatMap((one) => [
        one.published !== null && one.published >= axis.from && one.published <= axis.to && svg("text", { x: axis.x(one.published), y: y + 14, class: "diamond published", "text-anchor": "middle" }, svg("title", {}, `${one.id}, published ${clock(run, one.published)}`), "◇"),
        one.at !== null && one.at >= axis.from && one.at <= axis.to && svg("text", { x: axis.x(one.at), y: y + 30, class: "diamond here", "text-anchor": "middle" }, svg("title", {}, `${one.id}, here ${clock(run, one.at)}`), "◈"),
      ]);
      return svg("g", { class: "lane", "data-lane": lane.name, "data-impact": lane.system ? Math.round(lane.system.windows.reduce((sum, [from, to]) => sum + to - from, 0)) : "unknown" },
        svg("line", { x1: 0, x2: WIDTH, y1: y, y2: y, class: "rule" }),
        svg("text", { x: 4, y: y + 15, class: lane.system ? "lane-name" : "lane-name absent" }, lane.name),
        svg("text", { x: 4, y: y + 30, class: "lane-note" }, lane.system ? [onset && `onset ${onset}`, recovery && `back ${recovery}`].filter(Boolean).join(", ") : lane.absent),
        lane.published.filter((window) => window.from !== null).map((window) => bar([window.from, window.to ?? axis.to], y + 5, 10, "published-bar")),
        lane.system && lane.system.windows.filter((window) => overlaps(window, axis.from, axis.to)).map((window) => bar(window, y + 19, 12, "observed-bar")),
        lane.system && shares(lane, y + 19), diamonds);
    });
    const past = svg("rect", { x: axis.x(Math.min(run.end, axis.to)), y: HEAD - 12, width: Math.max(0, axis.x(axis.to) - axis.x(Math.min(run.end, axis.to))), height, class: "future" });
    set(cursor, { y2: height });
    drawing.replaceChildren(...[past, ticks, rows, drawnMarks, cursor].flat(Infinity).filter(Boolean));
    const when = (windows) => windows.map(([from, to]) => `${clock(run, from, false)} to ${to === null ? "?" : clock(run, to, false)}`).join(", ") || "none";
    if (twin.open) twin.replaceChildren(twin.firstChild,
      table("Impact by system", ["system", "published", "here", "onset", "recovery"], lanes.map((lane) => {
        const { onset, recovery } = differences(lane, run.end);
        return [lane.name, when(lane.published.filter((one) => one.from !== null).map((one) => [one.from, one.to])), lane.system ? when(lane.system.windows) : lane.absent, onset ?? "–", recovery ?? "–"];
      })));
    said.replaceChildren(h("details", { class: "twin", open: said.firstChild?.open }, h("summary", {}, "What was done, in order"), h("ol", {}, marks(run).sort((one, other) => one.at - other.at).map((mark) =>
      h("li", {}, h("button", { type: "button", class: "link", onclick: () => ctx.change({ at: mark.at }) }, clock(run, mark.at)), ` ${mark.glyph} ${mark.text}`)))));
  };
  twin.addEventListener("toggle", draw);

  let [drawn, seen, drawnAt] = ["", "", -Infinity];
  const update = () => {
    const fresh = new Axis(run, LEFT, WIDTH - 10);
    // Live it is drawn anew a few times a minute of what is seen, not with every answer; and at a high speed, where that
    // comes several times a second, once in a second, unless somebody moves about.
    const key = `${fresh.from} ${Math.round(fresh.to / Math.max(60, (fresh.to - fresh.from) / 300))} ${run.events.length} ${[...run.systems.map((one) => one.windows), ...Object.values(run.windows)].map((one) => one.at(-1)?.[1])} ${run.milestones.length}`;
    const range = `${ctx.state.from} ${ctx.state.to}`;
    const waits = ctx.live && range === seen && performance.now() - drawnAt < 1000;
    if (key !== drawn && !waits) {
      [axis, drawn, seen, drawnAt] = [fresh, key, range, performance.now()];
      draw();
    }
    const x = axis.x(Math.min(Math.max(ctx.moment(), axis.from), axis.to));
    set(cursor, { x1: x, x2: x });
  };
  return { node, update };
};
