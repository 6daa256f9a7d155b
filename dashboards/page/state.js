// What is shown, in the address: a link, a reload and the back button all lead to the same screen, moment and selection.
// After the `#`, so that it works in a file too.

const NUMBERS = new Set(["at", "from", "to", "tour"]);
const listeners = new Set();
let writing = null;

const read = () => {
  const [screen, query] = location.hash.slice(1).split("?");
  const found = { screen: screen || "", at: null, from: null, to: null, tour: null, sel: null };
  for (const [name, value] of new URLSearchParams(query ?? "")) {
    found[name] = NUMBERS.has(name) ? Number(value) : value;
  }
  return found;
};

// The token comes behind the `#` too; it is kept for this tab and taken out of sight.
const token = () => {
  const found = /^#token=([0-9a-f]+)$/.exec(location.hash);
  try {
    if (found) {
      sessionStorage.setItem("eastfall-token", found[1]);
      history.replaceState(null, "", location.pathname);
    }
    return found?.[1] ?? sessionStorage.getItem("eastfall-token");
  } catch {
    return found?.[1] ?? null; // A browser that keeps nothing still has the address.
  }
};

export const TOKEN = token();
export const state = read();

const address = () => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (name !== "screen" && value !== null && value !== undefined && value !== "") {
      query.set(name, NUMBERS.has(name) ? Math.round(value) : value);
    }
  }
  const text = query.toString();
  return `#${state.screen}${text ? `?${text}` : ""}`;
};

export const change = (patch) => {
  const screen = state.screen;
  Object.assign(state, patch);
  for (const listener of listeners) listener();
  if (state.screen !== screen) {
    clearTimeout(writing);
    history.pushState(null, "", address());
    return;
  }
  // Browsers refuse addresses that change with every pixel of a scrub.
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", address()), 250);
};

export const onChange = (listener) => listeners.add(listener);

addEventListener("popstate", () => {
  clearTimeout(writing);
  for (const name of Object.keys(state)) delete state[name];
  Object.assign(state, read());
  for (const listener of listeners) listener();
});
