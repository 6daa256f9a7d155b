// Where the data comes from: this very file (a report), a server of finished runs, or a running fleet that is asked for
// news. And where wishes go.

import { Run } from "./run.js";
import { TOKEN } from "./state.js";

// Asked often enough to move, seldom enough that an idle page costs nothing.
const EVERY_MS = 400;
const AGAIN_MS = 1500;

const headers = TOKEN ? { "eastfall-token": TOKEN } : {};

const inlined = async (node) => {
  const bytes = Uint8Array.from(atob(node.textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
};

const ask = async (path) => {
  const response = await fetch(path, { headers });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
};

export const load = async () => {
  const node = document.getElementById("document");
  const found = node ? await inlined(node) : await ask("api/document");
  node?.remove();
  const runs = found.runs.map((model) => Object.assign(new Run(model), { instances: found.instances }));
  return { live: found.live, report: Boolean(node), comparison: found.comparison, runs };
};

// Follows a running fleet. `heard` is told after news came, `lost` when none does.
export const follow = (run, heard, lost) => {
  const next = async () => {
    if (document.hidden) { setTimeout(next, EVERY_MS); return; }
    const known = `rows=${run.rows}&events=${run.events.length}&latencies=${run.latencies}&policies=${run.policies.length}`;
    try {
      run.news(await ask(`api/since?${known}`));
      heard();
      setTimeout(next, EVERY_MS);
    } catch (error) {
      lost(error instanceof TypeError ? "nobody answers: the fleet has ended, or the way to it is cut" : error.message);
      setTimeout(next, AGAIN_MS);
    }
  };
  setTimeout(next, EVERY_MS);
};

// Asks for something to be done: {set: "PATH=VALUE"}, {inject: "FAULT"}, {stop: ID or ""}. Says what came of it.
export const wish = async (what) => {
  try {
    const body = JSON.stringify(what);
    const response = await fetch("api/wish", { method: "POST", headers: { ...headers, "content-type": "application/json" }, body });
    return response.ok ? await response.json() : { done: false, text: await response.text() };
  } catch {
    return { done: false, text: "nobody answers: the fleet has ended, or the way to it is cut" };
  }
};
