// How a service, an edge or a system does: a state with a colour, a glyph and a word, so that no reader needs the colour.

export const STATES = {
  idle: { glyph: "·", word: "no requests" },
  well: { glyph: "✓", word: "well" },
  impaired: { glyph: "!", word: "impaired" },
  rejecting: { glyph: "⊘", word: "rejecting" },
  failing: { glyph: "✕", word: "failing" },
  down: { glyph: "■", word: "down" },
};

// From half of all requests on, a system fails; below, it is impaired from the run's own threshold on.
const FAILING = 0.5;

export const stateOf = (flow, threshold) => {
  if (flow.requests <= 0) return "idle";
  if (flow.share < threshold) return "well";
  if (flow.share < FAILING) return "impaired";
  return flow.rejected > flow.failed + flow.timed_out ? "rejecting" : "failing";
};

export const serviceHealth = (run, name, moment, isNow) => {
  const flow = run.flow(run.telling(name), moment);
  const { instances } = run.service.get(name);
  const down = isNow && run.instances ? instances.filter((one) => (run.instances[one] ?? "up") !== "up") : [];
  const state = down.length === instances.length ? "down" : stateOf(flow, run.about.window_share);
  return { flow, state, down, ...STATES[state] };
};

export const edgeHealth = (run, edge, moment) => {
  const flow = run.flow([edge], moment);
  const state = stateOf(flow, run.about.window_share);
  const open = run.value(`${edge.name}.breakers_open`, moment) || 0;
  const half = run.value(`${edge.name}.breakers_half_open`, moment) || 0;
  const all = run.value(`${edge.name}.breakers`, moment) || 0;
  return { flow, state, breakers: { all, open, half }, ...STATES[state] };
};

// Warm-up: connections and caches are cold, and what fails then is not the incident.
const WARM_UP = 300;

// Of a service that is asked a few times a minute, one lost request is chance.
const LOST = 2;

// Since when it counts: the first that was done to the region, by the scenario or by hand. What failed before is no cascade.
const begins = (run) => {
  const deeds = run.events.filter((event) => event.kind === "fault.injected").map((event) => event.at);
  const first = Math.min(...run.steps.map((step) => step.at), ...deeds);
  return Math.max(WARM_UP, Number.isFinite(first) ? first : 0);
};

// When each service first let its callers down for a whole minute, earliest first.
export const cascade = (run) => {
  const found = [];
  const from = begins(run);
  const spacing = run.rows > 1 ? run.at[1] - run.at[0] : run.time.sample;
  for (const { name } of run.services) {
    const edges = run.telling(name);
    if (!edges.length) continue;
    const keys = ["failed", "rejected", "timed_out"];
    const columns = (key) => edges.map((edge) => run.columns.get(`${edge.name}.${key}`)).filter((column) => column);
    const [requests, bad] = [columns("requests"), keys.flatMap(columns)];
    const width = Math.max(1, Math.round(run.window / spacing));
    let [asked, lost] = [0, 0];
    const sum = (list, row) => list.reduce((total, { values }) => total + (values[row] || 0), 0);
    for (let row = 0; row < run.rows; row += 1) {
      asked += sum(requests, row) - (row >= width ? sum(requests, row - width) : 0);
      lost += sum(bad, row) - (row >= width ? sum(bad, row - width) : 0);
      // A long run's rows are means of several samples.
      const count = lost * (spacing / run.time.sample);
      if (run.at[row] > from && count > LOST - 0.5 && lost / asked >= run.about.window_share) {
        found.push({ name, at: run.at[Math.max(0, row - width + 1)] });
        break;
      }
    }
  }
  return found.sort((one, other) => one.at - other.at);
};
