// Incident time as people read it. Seconds count from the start of the run; dates are in the incident's own offset.

const two = (number) => String(Math.floor(number)).padStart(2, "0");

const local = (run, seconds) => new Date(Date.parse(`${run.time.starts.slice(0, 19)}Z`) + seconds * 1000);

export const clock = (run, seconds, withSeconds = true) => {
  const date = local(run, seconds);
  const text = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  return withSeconds ? `${text}:${two(date.getUTCSeconds())}` : text;
};

export const day = (run, seconds) => local(run, seconds).toISOString().slice(0, 10);

// A length of time in the two units that matter.
export const span = (seconds) => {
  const rest = Math.abs(seconds);
  if (rest < 60) return `${Math.round(rest)} s`;
  if (rest < 3600) return `${Math.floor(rest / 60)} min ${Math.round(rest % 60)} s`;
  return `${Math.floor(rest / 3600)} h ${Math.round((rest % 3600) / 60)} min`;
};

// How much later than published, in minutes; negative is earlier. Of hours, nobody reads the seconds.
export const later = (seconds) => {
  const minutes = seconds / 60;
  return `${minutes < 0 ? "−" : "+"}${Math.abs(minutes).toFixed(Math.abs(minutes) < 100 ? 1 : 0)} min`;
};

export const number = (value) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(0)} k`;
  if (size >= 100 || size === 0) return value.toFixed(0);
  return size >= 10 ? value.toFixed(1) : value.toFixed(2);
};

export const percent = (share) => (Number.isFinite(share) ? `${(share * 100).toFixed(share < 0.0995 && share > 0 ? 1 : 0)} %` : "–");

export const millis = (value) => (value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`);
