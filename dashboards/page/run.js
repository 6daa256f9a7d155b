// A run's data: columns over time that grow, and the questions that screens ask of them.

const ROOM = 1024;

class Column {
  constructor(room, length) {
    this.values = new Float32Array(room).fill(NaN);
    this.length = length;
  }
}

export class Run {
  constructor(model) {
    Object.assign(this, model);
    this.rows = 0;
    this.at = new Float64Array(ROOM);
    this.columns = new Map();
    this.heat = new Map();
    this.latencies = 0;
    this.revision = 0;
    const { series, latency, events } = model;
    this.events = events.shown;
    this.counts = events.counts;
    this.callers = new Map(this.services.map((service) => [service.name, []]));
    this.callees = new Map(this.services.map((service) => [service.name, []]));
    for (const edge of this.edges) {
      edge.name = `${edge.from}->${edge.to}`;
      this.callers.get(edge.to)?.push(edge);
      this.callees.get(edge.from)?.push(edge);
    }
    this.service = new Map(this.services.map((service) => [service.name, service]));
    this.take(series);
    this.takeLatency(latency);
  }

  // The last moment there is data of.
  get end() { return this.rows ? this.at[this.rows - 1] : 0; }

  // How far back a rate looks: a minute, or as far as the data is apart.
  get window() { return Math.max(60, this.rows > 1 ? 2 * (this.at[1] - this.at[0]) : 60); }

  grow(values, length) {
    if (length <= values.length) return values;
    const longer = new values.constructor(Math.max(length, values.length * 2));
    longer.set(values);
    return longer;
  }

  take({ from, times, columns }) {
    const rows = from + times.length;
    this.at = this.grow(this.at, rows);
    this.at.set(times, from);
    for (const [name, news] of Object.entries(columns)) {
      let column = this.columns.get(name);
      // Never anything but zero so far: not worth an array.
      if (!column && news === 0) { this.columns.set(name, 0); continue; }
      if (column === 0 && news === 0) continue;
      if (!column) {
        const fresh = new Column(Math.max(ROOM, rows), from);
        if (column === 0) fresh.values.fill(0, 0, from);
        this.columns.set(name, column = fresh);
      }
      const known = column.values.length;
      column.values = this.grow(column.values, rows);
      if (column.values.length > known) column.values.fill(NaN, known);
      if (news === 0) column.values.fill(0, from, rows);
      else news.forEach((value, index) => { column.values[from + index] = value ?? NaN; });
    }
    this.rows = rows;
    this.revision += 1;
  }

  takeLatency(rows) {
    for (const [name, row] of rows) {
      if (!this.heat.has(name)) this.heat.set(name, []);
      this.heat.get(name).push(row);
    }
    this.latencies += rows.length;
  }

  // What a live page hears: only what it did not know.
  news({ series, events, latency, policies, systems, windows, milestones, instances }) {
    if (series.from === this.rows) this.take(series);
    this.events.push(...events);
    this.policies.push(...policies);
    this.takeLatency(latency);
    Object.assign(this, { systems, windows, milestones, instances });
  }

  // The number of the last row that ends by a moment; -1 before the first.
  row(moment) {
    let [low, high] = [0, this.rows];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at[middle] <= moment + 1e-6) low = middle + 1; else high = middle;
    }
    return low - 1;
  }

  cell(name, row) {
    const column = this.columns.get(name);
    if (column === undefined || row < 0) return NaN;
    return column === 0 ? 0 : column.values[row];
  }

  // A state, as it was last known within a few rows.
  value(name, moment) {
    const row = this.row(moment);
    for (let back = 0; back < 4 && row - back >= 0; back += 1) {
      const value = this.cell(name, row - back);
      if (!Number.isNaN(value)) return value;
    }
    return NaN;
  }

  // How often something happened per second, over the window before a moment. Counts are per sampling interval.
  rate(name, moment, window = this.window) {
    const column = this.columns.get(name);
    if (!column) return 0;
    const last = this.row(moment);
    let [sum, rows] = [0, 0];
    for (let row = last; row >= 0 && this.at[row] > moment - window; row -= 1) {
      const value = column.values[row];
      if (!Number.isNaN(value)) sum += value;
      rows += 1;
    }
    return rows ? sum / rows / this.time.sample : 0;
  }

  // What happened on edges, per second, over the window before a moment.
  flow(edges, moment) {
    const flow = { requests: 0, ok: 0, failed: 0, rejected: 0, timed_out: 0, attempts: 0, retries: 0, short_circuited: 0, wasted: 0 };
    for (const edge of edges) {
      for (const key of Object.keys(flow)) flow[key] += this.rate(`${edge.name ?? edge}.${key}`, moment);
    }
    flow.bad = flow.failed + flow.timed_out + flow.rejected;
    flow.share = flow.requests > 0 ? flow.bad / flow.requests : 0;
    return flow;
  }

  // Edges whose requests tell how a service does: those of its callers; of customers, their own.
  telling(name) {
    const service = this.service.get(name);
    const callers = this.callers.get(name) ?? [];
    return service?.customers || callers.length === 0 ? this.callees.get(name) ?? [] : callers;
  }

  // The policies in force at a moment: values by path, by edge and by service.
  policy(moment) {
    const inForce = { edges: {}, services: {} };
    for (const version of this.policies) {
      if (version.at > moment + 1e-6 && version !== this.policies[0]) break;
      Object.assign(inForce.edges, version.edges);
      Object.assign(inForce.services, version.services);
    }
    return inForce;
  }

  // Faults in force at a moment.
  faults(moment) {
    const open = new Map();
    for (const event of this.events) {
      if (event.at > moment + 1e-6) continue;
      if (event.kind === "fault.injected") open.set(event.fields.id, event);
      if (event.kind === "fault.ended") open.delete(event.fields.id);
    }
    return [...open.values()];
  }

  // Everybody who calls a service, directly or through others.
  dependents(name) {
    const found = new Set();
    const open = [name];
    while (open.length) {
      for (const edge of this.callers.get(open.pop()) ?? []) {
        if (edge.from !== name && !found.has(edge.from)) { found.add(edge.from); open.push(edge.from); }
      }
    }
    return found;
  }
}
