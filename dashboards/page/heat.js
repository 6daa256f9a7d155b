// The latency heat map of an edge or a system: time across, latency upwards on a log scale, darker where more requests
// were answered. What was not answered has rows of its own above: a fast failure is not a fast answer.

import { Axis, scrubs } from "./axis.js";
import { h, select, table } from "./dom.js";
import { clock, millis, number } from "./time.js";

const [WIDTH, LEFT, ROW, BAND, TOP] = [1160, 76, 15, 9, 4];
const BINS = 36;
const PER_DECADE = 5;
const LOWEST_MS = 0.1;
const LOST = [["failed", "failed"], ["timed_out", "timed out"], ["rejected", "rejected"]];
const PERCENTILES = ["p50", "p90", "p99", "p99.9"];
const GROUND = TOP + LOST.length * ROW + 6;
const HEIGHT = GROUND + BINS * BAND + 22;

const latencyOf = (bin) => LOWEST_MS * 10 ** (bin / PER_DECADE);
const heightOf = (ms) => GROUND + (BINS - 1 - Math.max(0, Math.min(BINS - 1, Math.log10(ms / LOWEST_MS) * PER_DECADE))) * BAND;

export const mount = (ctx) => {
  const { run } = ctx;
  const canvas = h("canvas", { width: WIDTH, height: HEIGHT, class: "heat", role: "img", "aria-label": "Latency over time; the table below has the percentiles" });
  const now = h("div", {});
  const names = () => [...run.systems.map((system) => [`system.${system.name}`, `System ${system.name}`]), ...run.edges.map((edge) => [edge.name, edge.name])];
  const current = () => ctx.state.lat ?? `system.${(run.systems.find((system) => system.windows.length) ?? run.systems[0])?.name}`;
  const picker = select("Latency of", names(), current(), (lat) => ctx.change({ lat }));
  const note = h("p", { class: "legend" }, "From when a request was meant to start, retries included. Lines: ", PERCENTILES.map((name, index) => h("span", { class: `name c${index + 1}` }, `${name} `)), "of all requests, however they ended.");
  const node = h("div", { class: "main" }, h("div", { class: "tools" }, picker), h("div", { class: "canvas" }, canvas), note, now);
  let axis = new Axis(run, LEFT, WIDTH - 6);
  scrubs(canvas, () => { const box = canvas.getBoundingClientRect(); const scale = box.width / WIDTH; return Object.assign(Object.create(axis), { left: LEFT * scale, right: (WIDTH - 6) * scale }); }, (moment) => ctx.change({ at: moment }));

  const counted = (name, key, from, to) => {
    const lost = name.startsWith("system.") ? run.systems.find((system) => `system.${system.name}` === name)?.edges ?? [] : [name];
    return lost.reduce((sum, edge) => sum + run.rate(`${edge}.${key}`, to, Math.max(to - from, run.time.sample)) * (to - from), 0);
  };

  const draw = () => {
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const name = current();
    const rows = (run.heat.get(name) ?? []).filter((row) => row.to > axis.from && row.from < axis.to);
    pen.clearRect(0, 0, WIDTH, HEIGHT);
    pen.font = "11px system-ui, sans-serif";
    const text = (what, x, y, align) => { pen.fillStyle = colour("--muted"); pen.textAlign = align; pen.fillText(what, x, y); };
    LOST.forEach(([, title], index) => text(title, LEFT - 6, TOP + index * ROW + 11, "right"));
    for (let bin = 0; bin <= BINS; bin += PER_DECADE) text(millis(latencyOf(bin)), LEFT - 6, heightOf(latencyOf(bin)) + 4, "right");
    axis.ticks().forEach(([x, when]) => text(when, x, HEIGHT - 6, "center"));
    const most = Math.max(1, ...rows.flatMap((row) => row.ok.map(([, count]) => count)));
    const lost = rows.map((row) => LOST.map(([key]) => counted(name, key, row.from, row.to)));
    const worst = Math.max(1, ...lost.flat());
    const left = (row) => Math.max(LEFT, axis.x(row.from));
    const width = (row) => Math.max(1, Math.min(axis.right, axis.x(row.to)) - left(row) + 0.5);
    rows.forEach((row, index) => {
      for (const [bin, count] of row.ok) {
        pen.globalAlpha = 0.12 + 0.88 * (Math.log1p(count) / Math.log1p(most));
        pen.fillStyle = colour("--heat");
        pen.fillRect(left(row), GROUND + (BINS - 1 - bin) * BAND, width(row), BAND - 1);
      }
      lost[index].forEach((count, place) => {
        if (count < 0.5) return;
        pen.globalAlpha = 0.2 + 0.8 * (Math.log1p(count) / Math.log1p(worst));
        pen.fillStyle = colour(`--${LOST[place][0].replace("_", "-")}`);
        pen.fillRect(left(row), TOP + place * ROW, width(row), ROW - 2);
      });
    });
    pen.globalAlpha = 1;
    PERCENTILES.forEach((_, place) => {
      pen.strokeStyle = colour(`--c${place + 1}`);
      pen.lineWidth = 1.5;
      pen.beginPath();
      rows.forEach((row, index) => {
        const y = heightOf(Math.max(LOWEST_MS, row.percentiles[place])) + BAND / 2;
        if (index) pen.lineTo(left(row), y); else pen.moveTo(left(row), y);
        pen.lineTo(left(row) + width(row), y);
      });
      pen.stroke();
    });
    const x = axis.x(Math.min(Math.max(ctx.moment(), axis.from), axis.to));
    pen.strokeStyle = colour("--cursor");
    pen.lineWidth = 1;
    pen.strokeRect(x, 0, 0.01, HEIGHT - 18);
  };

  let drawn = "";
  const update = () => {
    axis = new Axis(run, LEFT, WIDTH - 6);
    const name = current();
    picker.querySelector("select").value = name;
    const key = `${name} ${axis.from} ${Math.round(axis.to / 30)} ${run.latencies} ${Math.round(axis.x(ctx.moment()))} ${matchMedia("(prefers-color-scheme: dark)").matches}`;
    if (key === drawn) return;
    drawn = key;
    draw();
    const row = (run.heat.get(name) ?? []).findLast?.((one) => one.from <= ctx.moment());
    now.replaceChildren(row ? table(`${name} from ${clock(run, row.from)} to ${clock(run, row.to)}`, ["answered", "not answered", ...PERCENTILES],
      [[number(row.ok.reduce((sum, [, count]) => sum + count, 0)), number(row.failed), ...row.percentiles.map(millis)]])
      : h("p", { class: "empty" }, "No request has ended here yet."));
  };
  return { node, update };
};
