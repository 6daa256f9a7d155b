// The one time axis: all screens that show time share its range, so that a moment is at the same place on each.

import { state } from "./state.js";
import { clock } from "./time.js";

const STEPS = [10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600];

export class Axis {
  constructor(run, left, right) {
    this.run = run;
    this.left = left;
    this.right = right;
    this.from = state.from ?? 0;
    // A live run's axis grows with it; a finished one's is all of it.
    this.to = state.to ?? Math.max(run.end, 60);
  }

  x(moment) {
    return this.left + ((moment - this.from) / (this.to - this.from)) * (this.right - this.left);
  }

  moment(x) {
    const share = (x - this.left) / (this.right - this.left);
    return this.from + Math.min(1, Math.max(0, share)) * (this.to - this.from);
  }

  // [x, text] of round times, as many as have room.
  ticks() {
    const room = (this.right - this.left) / 70;
    const step = STEPS.find((length) => (this.to - this.from) / length <= room) ?? 43200;
    // Round by the clock, not by the run: it may have begun at any second.
    const offset = (Date.parse(`${this.run.time.starts.slice(0, 19)}Z`) / 1000) % step;
    const ticks = [];
    for (let at = Math.ceil((this.from + offset) / step) * step - offset; at <= this.to; at += step) {
      ticks.push([this.x(at), clock(this.run, at, step < 60)]);
    }
    return ticks;
  }

  // Rows of the run that are in range, one more on each side.
  rows() {
    return [Math.max(0, this.run.row(this.from)), Math.min(this.run.rows - 1, this.run.row(this.to) + 1)];
  }
}

// Lets people take a moment by pointing at an element: `take` is told it while they drag.
export const scrubs = (element, axis, take) => {
  const point = (event) => {
    const box = element.getBoundingClientRect();
    const scale = element.viewBox?.baseVal?.width ? element.viewBox.baseVal.width / box.width : 1;
    take(axis().moment((event.clientX - box.left) * scale));
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    point(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (element.hasPointerCapture(event.pointerId)) point(event);
  });
};
