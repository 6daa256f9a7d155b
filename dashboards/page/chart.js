// A line chart over the run's time axis, with one cursor for all charts of a screen. Columns that have more points than
// pixels are drawn by the lowest and highest of each pixel, so that no peak is lost.

import { Axis, scrubs } from "./axis.js";
import { h, say, set, svg } from "./dom.js";
import { number } from "./time.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [560, 170, 46, 20, 8];
export const COLOURS = ["c1", "c2", "c3", "c4", "c5", "c6"];

// Pixels without a value from which on a line is broken.
const GAP = 14;

// A round number at or above the largest value.
const ceiling = (value) => {
  if (!(value > 0)) return 1;
  const scale = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 5, 10].map((step) => step * scale).find((step) => step >= value);
};

// Points by pixel: [x, low, high], null where there is a gap, from a function of the row's number.
const points = (run, axis, of) => {
  const [first, last] = axis.rows();
  const found = [];
  for (let row = first; row <= last; row += 1) {
    const value = of(row);
    if (Number.isNaN(value) || value === undefined) continue;
    const x = Math.round(Math.min(axis.right, Math.max(axis.left, axis.x(run.at[row]))));
    const before = found.at(-1);
    if (before && before[0] === x) {
      before[1] = Math.min(before[1], value);
      before[2] = Math.max(before[2], value);
    } else {
      // What is not known for long is a gap, not a straight line.
      if (before && x - before[0] > GAP) found.push(null);
      found.push([x, value, value]);
    }
  }
  return found;
};

// `lines`: [{ name, run, of: (row) => number }]; `run` defaults to the screen's.
export const chart = (ctx, { title, unit = "", lines, height = HEIGHT, note }) => {
  const ground = svg("g", {});
  const paths = lines.map((_, index) => svg("path", { class: `line ${COLOURS[index % COLOURS.length]}` }));
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: height - BOTTOM });
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "chart", role: "img" }, ground, paths, cursor);
  const values = lines.map(() => h("b", {}));
  const names = lines.map((line, index) => h("span", { class: `name ${COLOURS[index % COLOURS.length]}` }, line.name, " ", values[index]));
  const node = h("figure", { class: "chart-box" }, h("figcaption", {}, h("strong", {}, title), unit && ` ${unit}`, h("span", { class: "names" }, names)), drawing, note && h("p", { class: "note" }, note));
  let axis = new Axis(ctx.run, LEFT, WIDTH - 6);
  scrubs(drawing, () => axis, (moment) => ctx.change({ at: moment }));
  let drawn = "";
  const draw = () => {
    const all = lines.map((line) => points(line.run ?? ctx.run, axis, line.of));
    const most = all.reduce((highest, list) => list.reduce((high, point) => Math.max(high, point?.[2] ?? 0), highest), 0);
    const top = ceiling(most);
    const y = (value) => height - BOTTOM - (value / top) * (height - BOTTOM - TOP);
    ground.replaceChildren(
      ...[0, top / 2, top].flatMap((value) => [
        svg("line", { x1: LEFT, x2: WIDTH - 6, y1: y(value), y2: y(value), class: "tick" }),
        svg("text", { x: LEFT - 4, y: y(value) + 4, class: "tick-text", "text-anchor": "end" }, number(value))]),
      ...axis.ticks().filter((_, index, list) => list.length < 7 || index % 2 === 0).map(([x, text]) => svg("text", { x, y: height - 5, class: "tick-text", "text-anchor": "middle" }, text)));
    all.forEach((list, index) => {
      let pen = "M";
      const path = list.map((point) => {
        if (!point) { pen = "M"; return ""; }
        const [x, low, high] = point;
        const drawn_ = `${pen}${x},${y(low).toFixed(1)}${pen === "M" ? "h.1" : ""}${high > low ? `L${x},${y(high).toFixed(1)}` : ""}`;
        pen = "L";
        return drawn_;
      });
      set(paths[index], { d: path.join("") || "M0,0" });
    });
    set(drawing, { "aria-label": `${title}: at most ${number(most)} ${unit}` });
  };
  const update = () => {
    axis = new Axis(ctx.run, LEFT, WIDTH - 6);
    // Live it is drawn anew when there is a new pixel, or little enough that it costs nothing.
    const pixel = Math.max(ctx.run.time.sample, (axis.to - axis.from) / WIDTH);
    const key = `${axis.from} ${Math.round(axis.to / pixel)} ${lines.length}`;
    if (key !== drawn) { drawn = key; draw(); }
    const moment = ctx.moment();
    const x = axis.x(Math.min(Math.max(moment, axis.from), axis.to));
    set(cursor, { x1: x, x2: x });
    lines.forEach((line, index) => say(values[index], number(line.of((line.run ?? ctx.run).row(moment)))));
  };
  return { node, update };
};
