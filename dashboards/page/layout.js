// Where services stand in the graph: callers left of what they call, and the same place every time.
//
// Layers by the longest path from those whom nobody calls; within a layer, near the middle of their neighbours (a few
// sweeps of barycentres, ties in the order of the topology). No randomness, no forces: a place once learnt stays.

const SWEEPS = 6;

export const BOX = { width: 172, height: 46, across: 60, down: 12 };

// Edges that close a circle, found depth first in the order of the file: they don't count for the layers.
const backward = (names, callees) => {
  const [found, state] = [new Set(), new Map()];
  const visit = (name) => {
    state.set(name, "open");
    for (const edge of callees.get(name) ?? []) {
      if (state.get(edge.to) === "open") found.add(edge);
      else if (!state.has(edge.to)) visit(edge.to);
    }
    state.set(name, "done");
  };
  names.forEach((name) => state.has(name) || visit(name));
  return found;
};

export const layout = (services, edges, callees) => {
  const names = services.map((service) => service.name);
  const back = backward(names, callees);
  const forward = edges.filter((edge) => !back.has(edge));
  const layer = new Map(names.map((name) => [name, 0]));
  for (let round = 0, moved = true; moved && round <= names.length; round += 1) {
    moved = false;
    for (const { from, to } of forward) {
      if (layer.get(to) <= layer.get(from)) { layer.set(to, layer.get(from) + 1); moved = true; }
    }
  }
  // Whoever has no more callers than callees stands right before what it calls, not far away from it: lines are shorter so,
  // and layers more alike. From the last layer to the first, so that who moves finds its callees where they stay.
  const byLayer = [...names].sort((one, other) => layer.get(other) - layer.get(one));
  for (const name of byLayer) {
    const callers = forward.filter((edge) => edge.to === name).length;
    const out = forward.filter((edge) => edge.from === name).map((edge) => layer.get(edge.to));
    if (out.length && out.length >= callers) layer.set(name, Math.min(...out) - 1);
  }
  const layers = Array.from({ length: Math.max(...layer.values()) + 1 }, () => []);
  names.forEach((name) => layers[layer.get(name)].push(name));
  const place = new Map();
  const number = () => layers.forEach((column) => column.forEach((name, index) => place.set(name, index - (column.length - 1) / 2)));
  number();
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const column of sweep % 2 ? [...layers].reverse() : layers) {
      const weight = new Map(column.map((name) => {
        const near = edges.flatMap(({ from, to }) => (from === name ? [place.get(to)] : to === name ? [place.get(from)] : []));
        return [name, near.length ? near.reduce((sum, one) => sum + one, 0) / near.length : place.get(name)];
      }));
      column.sort((one, other) => weight.get(one) - weight.get(other) || names.indexOf(one) - names.indexOf(other));
      number();
    }
  }
  const rows = Math.max(...layers.map((column) => column.length));
  const height = rows * (BOX.height + BOX.down) + 24;
  const at = new Map();
  layers.forEach((column, number_) => column.forEach((name, index) => at.set(name, {
    x: 12 + number_ * (BOX.width + BOX.across),
    y: height / 2 + (index - column.length / 2) * (BOX.height + BOX.down) + BOX.down / 2,
  })));
  return { at, width: 24 + layers.length * BOX.width + (layers.length - 1) * BOX.across, height };
};

// The curve of an edge, and the middle of it.
export const curve = (from, to) => {
  const forwards = to.x > from.x;
  const [x1, y1] = [from.x + (forwards ? BOX.width : 0), from.y + BOX.height / 2];
  const [x2, y2] = [to.x + (forwards ? 0 : BOX.width), to.y + BOX.height / 2];
  if (from.x === to.x) {
    const bend = BOX.across * 0.6;
    const x = from.x + BOX.width;
    return { path: `M${x},${y1} C${x + bend},${y1} ${x + bend},${y2} ${x},${y2}`, x: x + bend * 0.75, y: (y1 + y2) / 2 };
  }
  // Back and forth between the same two must not lie upon each other.
  const lift = forwards ? 0 : 26;
  const bend = Math.max(30, Math.abs(x2 - x1) / 2) * (forwards ? 1 : -1);
  return {
    path: `M${x1},${y1} C${x1 + bend},${y1 + lift} ${x2 - bend},${y2 + lift} ${x2},${y2}`,
    x: (x1 + x2) / 2, y: (y1 + y2) / 2 + lift * 0.75,
  };
};
